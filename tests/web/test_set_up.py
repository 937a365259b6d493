"""The page that creates the first administrator."""

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import OperationalError, connections
from pytest_django.fixtures import Settings

from accounts import setup
from accounts.models import User
from tests.factories import PASSWORD
from tests.web.people import Response, Visitor, account, text_of

TOKEN = "the-owners-token"


@pytest.fixture(autouse=True)
def _token_chosen(settings: Settings) -> None:
    settings.SETUP_TOKEN = TOKEN


def set_up(visitor: Visitor | None = None, name: str = "Olivia", token: str = TOKEN) -> Response:
    return (visitor or Visitor()).send("/setup", account(name, token=token))


def test_the_owner_becomes_the_administrator_and_is_in() -> None:
    visitor = Visitor()
    response = set_up(visitor)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert visitor.get("/admin/").status_code == 200
    assert User.objects.get().is_superuser


def test_the_link_that_the_server_prints_brings_the_token_along() -> None:
    page = text_of(Visitor().get("/setup", {"token": TOKEN}))
    assert f'name="token" value="{TOKEN}"' in page
    assert TOKEN not in text_of(Visitor().get("/setup"))


def test_of_twenty_at_once_one_becomes_administrator() -> None:
    start = Barrier(20)

    def hurry(number: int) -> int:
        visitor = Visitor()
        visitor.get("/setup")
        start.wait()
        try:
            return set_up(visitor, f"olivia{number}").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(hurry, range(20)))
    assert answers == {302}
    assert User.objects.count() == 1


def test_there_is_no_set_up_afterwards() -> None:
    set_up()
    page = Visitor().get("/setup", {"token": TOKEN})
    assert page.status_code == 404
    assert "<form" not in text_of(page)
    again = set_up(name="Mallory")
    assert (again.status_code, again["Location"]) == (302, "/users/log_in")
    assert [user.username for user in User.objects.all()] == ["Olivia"]
    assert "/setup" not in text_of(Visitor().get("/"))


def test_an_administrator_made_on_the_terminal_closes_it_too(operator: User) -> None:
    assert Visitor().get("/setup").status_code == 404


def test_a_database_that_fails_puts_no_password_into_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> User:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(setup, "complete", fail)
    with caplog.at_level(logging.DEBUG):
        response = set_up()
    assert response.status_code == 503
    assert "503 unavailable: OperationalError" in caplog.text
    for secret in (PASSWORD, TOKEN):
        assert secret not in caplog.text
        assert secret not in text_of(response)


@pytest.mark.parametrize("token", ["", "wrong", "the-owners-token-and-more", "ｔhe-owners-token", "x" * 1000])
def test_without_the_token_a_stranger_gets_nowhere(token: str) -> None:
    response = set_up(token=token)
    assert response.status_code == 400
    assert not User.objects.exists()
    assert setup.pending()


def test_nobody_registers_before_the_owner() -> None:
    visitor = Visitor()
    assert visitor.get("/users/register")["Location"] == "/setup"
    assert visitor.send("/users/register", account())["Location"] == "/setup"
    assert not User.objects.exists()


def test_a_bad_account_is_said_and_leaves_the_set_up_open() -> None:
    response = set_up(name="admin")
    assert response.status_code == 400
    assert "This user name is reserved." in text_of(response)
    assert setup.pending()


def test_the_set_up_takes_the_pages_own_form() -> None:
    assert Visitor().post("/setup", account("Olivia", token=TOKEN)).status_code == 403
    assert not User.objects.exists()
