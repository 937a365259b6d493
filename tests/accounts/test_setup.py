"""Setting up the first administrator, on a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from django.core.exceptions import ValidationError
from django.db import connections
from pytest_django.fixtures import Settings

from accounts import setup
from accounts.models import SetupState, User
from tests.factories import OperatorFactory

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture(autouse=True)
def _no_token_chosen(settings: Settings) -> None:
    settings.SETUP_TOKEN = ""


def set_up(username: str = "Olivia", token: str | None = None) -> User:
    right = setup.one_time_token() or ""
    return setup.complete(username, "olivia@example.org", PASSWORD, right if token is None else token, NOW)


def test_a_new_instance_waits_for_its_administrator() -> None:
    assert setup.pending()
    operator = set_up()
    assert operator.is_superuser
    assert operator.is_staff
    assert operator.check_password(PASSWORD)
    assert not setup.pending()


def test_every_process_reads_the_same_token() -> None:
    token = setup.one_time_token()
    assert token is not None
    assert len(token) == 32
    connections["system"].close()
    assert setup.one_time_token() == token


def test_the_operator_may_choose_the_token(settings: Settings) -> None:
    settings.SETUP_TOKEN = "chosen"
    assert setup.one_time_token() == "chosen"
    set_up(token="chosen")
    assert setup.one_time_token() is None


@pytest.mark.parametrize("token", ["", "wrong", "wröng", "\ud800", "x" * 1_000_000], ids=ascii)
def test_nothing_opens_without_the_token(token: str) -> None:
    with pytest.raises(setup.WrongToken):
        set_up(token=token)
    assert setup.pending()
    assert not User.objects.exists()


def test_a_bad_name_leaves_the_set_up_open() -> None:
    with pytest.raises(ValidationError):
        set_up(username="ad/min")
    assert setup.pending()
    assert set_up()


def test_the_token_is_gone_once_used() -> None:
    token = setup.one_time_token() or ""
    set_up()
    assert setup.one_time_token() is None
    assert SetupState.objects.get().token == ""
    for again in (token, "", "wrong"):
        with pytest.raises(setup.AlreadySetUp):
            set_up(username="Mallory", token=again)
    assert User.objects.get().username == "Olivia"


def test_an_administrator_made_on_the_command_line_counts() -> None:
    OperatorFactory.create()
    assert not setup.pending()
    with pytest.raises(setup.AlreadySetUp):
        set_up(username="Mallory", token="")


def test_it_stays_closed_when_the_administrator_is_gone() -> None:
    set_up().delete()
    assert not setup.pending()
    assert setup.one_time_token() is None


def test_of_twenty_at_once_exactly_one_becomes_administrator() -> None:
    barrier = Barrier(20)
    token = setup.one_time_token() or ""

    def attempt(number: int) -> str:
        try:
            barrier.wait(timeout=30)
            setup.complete(f"Olivia{number}", "", PASSWORD, token, NOW)
        except setup.AlreadySetUp:
            return "already set up"
        finally:
            connections["system"].close()
        return "administrator"

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(attempt, range(20)))
    assert sorted(answers) == ["administrator"] + ["already set up"] * 19
    assert User.objects.count() == 1
    assert SetupState.objects.filter(completed_at=NOW, token="").count() == 1
