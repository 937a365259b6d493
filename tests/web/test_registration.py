"""Registration of new listeners."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import views
from accounts.models import User
from tests.factories import PASSWORD
from tests.web.people import Response, Visitor, account, text_of

pytestmark = pytest.mark.usefixtures("operator")


def register(visitor: Visitor | None = None, **fields: str) -> Response:
    return (visitor or Visitor()).send("/users/register", account(**fields))


def listeners() -> set[str]:
    return set(User.objects.filter(is_superuser=False).values_list("username", flat=True))


def test_a_new_listener_is_in_at_once() -> None:
    visitor = Visitor()
    response = register(visitor, email="alice@example.org")
    assert (response.status_code, response["Location"]) == (302, "/")
    assert visitor.get("/subscriptions").status_code == 200
    alice = User.objects.get(username="Alice")
    assert alice.check_password(PASSWORD)
    # the address is not confirmed until the link that was sent to it is opened
    assert (alice.email, alice.new_email) == ("", "alice@example.org")


def test_a_new_listener_goes_on_to_the_app_that_asked() -> None:
    assert register(next="/authorize?token=a.b.c")["Location"] == "/authorize?token=a.b.c"
    assert register(username="Bob", next="//evil.example")["Location"] == "/"


def test_a_form_makes_nobody_more_than_a_listener() -> None:
    more = {
        "is_staff": "true",
        "is_superuser": "true",
        "id": "00000000-0000-0000-0000-000000000001",
        "date_joined": "1999-01-01",
        "is_active": "false",
        "username_key": "admin",
        "groups": "1",
    }
    assert register(None, **more).status_code == 302
    alice = User.objects.get(username="Alice")
    assert (alice.is_staff, alice.is_superuser, alice.is_active, alice.username_key) == (
        False,
        False,
        True,
        "alice",
    )
    assert alice.pk.int > 1
    assert alice.date_joined.year > 2000


@pytest.mark.parametrize(
    "name",
    [
        "",
        "al",
        "x" * 41,
        "x" * 1_000_000,
        "a\0b",
        "alice b",
        "..",
        "a/b",
        "<b>alice</b>",
        "admin",
        "аdmin",
        "ADMIN",
        "setup",
        "api",
        "al\u202eice",
        "ali\u200bce",
        "@alice",
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_a_bad_name_is_refused(name: str) -> None:
    response = register(username=name)
    assert response.status_code == 400
    assert "errorlist" in text_of(response)
    assert not listeners()


def test_a_space_around_the_name_is_a_slip_of_the_hand() -> None:
    assert register(username=" Alice ").status_code == 302
    assert listeners() == {"Alice"}


@pytest.mark.parametrize("name", ["Alice", "ALICE", "ａlice", "alıce", "alíce", "A1ice"])
def test_a_taken_name_is_refused_and_so_is_one_that_looks_like_it(alice: User, name: str) -> None:
    page = register(username=name, password1="another long one", password2="another long one")
    assert page.status_code == 400
    assert "This user name, or one that looks like it, is taken." in text_of(page)
    assert listeners() == {"Alice"}


@pytest.mark.parametrize("name", ["root", "Admin"])
def test_a_reserved_name_is_said_to_be_reserved(name: str) -> None:
    page = register(username=name)
    assert page.status_code == 400
    assert "This user name is reserved." in text_of(page)


@pytest.mark.parametrize(
    "password", ["a" * 20, " " * 20, "aB" * 10, "\u3000" * 12, "a \u200b" * 8, "AaÀ" * 7]
)
def test_a_password_of_few_characters_is_refused(password: str) -> None:
    page = register(password1=password, password2=password)
    assert page.status_code == 400
    assert "at least 4 different characters" in text_of(page)
    assert not listeners()


def test_a_known_address_is_no_news(alice: User) -> None:
    assert register(username="Bob", email="alice@example.org").status_code == 302


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (PASSWORD, "another long password"),
        ("short", "short"),
        ("0123456789", "0123456789"),
        ("password123", "password123"),
        ("alicesprings", "alicesprings"),
        ("", ""),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
    ids=["they differ", "short", "digits", "common", "like the name", "none", "a megabyte"],
)
def test_a_bad_password_is_refused_and_not_sent_back(first: str, second: str) -> None:
    response = register(username="Alice.Springs", password1=first, password2=second)
    assert response.status_code == 400
    assert f'value="{first}"' not in text_of(response)
    assert not listeners()


@pytest.mark.parametrize(
    "email", ["alice", "alice@", "a@b.example\nBcc: x@y.example", "x" * 300 + "@example.org"]
)
def test_a_bad_address_is_refused(email: str) -> None:
    assert register(email=email).status_code == 400


def test_a_name_goes_to_one_of_two_who_want_it_at_once() -> None:
    start = Barrier(2)

    def hurry(name: str) -> int:
        visitor = Visitor()
        visitor.get("/users/register")
        start.wait()
        try:
            return register(visitor, username=name).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(hurry, ["Alice", "ALICE"]))
    assert answers == [302, 400]
    assert len(listeners()) == 1


def test_a_form_that_is_sent_twice_makes_one_account_and_leads_into_it() -> None:
    first, second = Visitor(), Visitor()
    assert register(first)["Location"] == register(second)["Location"] == "/"
    assert second.get("/subscriptions").status_code == 200
    assert listeners() == {"Alice"}
    other = "another long password"
    assert register(password1=other, password2=other).status_code == 400
    User.objects.update(date_joined=timezone.now() - timedelta(minutes=2))
    assert register().status_code == 400, "that is no slip of the hand any more"


def test_registration_can_be_closed(settings: Settings) -> None:
    settings.REGISTRATION_OPEN = False
    assert Visitor().get("/users/register").status_code == 403
    assert register().status_code == 403
    assert not listeners()
    assert "/users/register" not in text_of(Visitor().get("/")).split("<main")[1]


def test_names_cannot_be_tried_out_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "REGISTRATIONS", 3)
    answers = [register(username="admin").status_code for _ in range(3)]
    assert answers == [400] * 3
    response = register()
    assert response.status_code == 429
    assert 3500 < int(response["Retry-After"]) <= 3600
    assert Visitor(REMOTE_ADDR="198.51.100.7").send("/users/register", account()).status_code == 302


def test_parallel_tries_are_each_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "REGISTRATIONS", 5)

    def attempt(_: Any) -> int:
        try:
            return register(username="admin").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(20)))
    assert sorted(answers) == [400] * 5 + [429] * 15


def test_without_its_counter_registration_waits(settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    response = register()
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert not listeners()
