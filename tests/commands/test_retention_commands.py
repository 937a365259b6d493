"""checkpoint, run_worker_once and erase_user, as an operator runs them."""

import io
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from eventstore import log
from eventstore.domain.plays import RecordPlay
from eventstore.domain.subscriptions import Subscribe
from projections import runner
from projections.runner import Runner
from tests.domain.scenarios import MONDAY, NEWS, NOON, SCIENCE
from tests.factories import PASSWORD, UserFactory
from tests.jobs.working import dispatch_all, event_types, run_projectors
from tests.projections.running import running

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def alice(stores: None) -> User:
    user = UserFactory.create(username="Alice", password=PASSWORD)
    play = RecordPlay(user_id=user.pk, feed=NEWS, item=MONDAY, position=1, played=False, now=NOON)
    dispatch_all(play)
    return user


@pytest.fixture
def bob(stores: None) -> User:
    user = UserFactory.create(username="bob")
    dispatch_all(Subscribe(user_id=user.pk, feed=SCIENCE, now=NOON))
    return user


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_checkpoints_of_everybody_with_something_new(alice: User, bob: User) -> None:
    assert run("checkpoint") == "2 checkpoints taken.\n"
    for user in (alice, bob):
        assert event_types(user.pk)[-1] == "UserCheckpoint"
    assert run("checkpoint") == "0 checkpoints taken.\n"


def test_a_checkpoint_of_one_user(alice: User, bob: User) -> None:
    assert run("checkpoint", "--user", "ALICE") == "1 checkpoints taken.\n"
    assert "UserCheckpoint" not in event_types(bob.pk)
    with pytest.raises(CommandError, match="No such user: nobody"):
        run("checkpoint", "--user", "nobody")


def test_a_run_of_the_worker_says_what_it_did(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.02)
    with running(Runner()):
        output = run("run_worker_once", "--before", log.database_time().isoformat())
    assert "1 of 1 users checkpointed" in output
    assert "1 events deleted" in output
    assert [line.split(":")[0].strip() for line in output.splitlines()[1:]] == [
        "due",
        "checkpoint",
        "project",
        "popularity",
        "delete",
    ]


def test_a_time_without_an_offset_is_refused(alice: User) -> None:
    with pytest.raises(CommandError, match="--before"):
        run("run_worker_once", "--before", "2026-05-01T12:00:00")
    with pytest.raises(CommandError, match="everything would be old"):
        run("run_worker_once", "--before", "2999-01-01T00:00:00Z")


def test_a_user_is_erased_with_a_receipt(alice: User, bob: User) -> None:
    run_projectors()
    lines = run("erase_user", "alice", "--yes").splitlines()
    assert {"events: 1", "users.play_statuses: 1", "accounts: 1"} <= set(lines)
    assert list(User.objects.all()) == [bob]
    with pytest.raises(CommandError, match="No such user"):
        run("erase_user", "alice", "--yes")


def test_it_asks_for_the_name_again(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for typed in ("", "yes\n", "alice \n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        with pytest.raises(CommandError, match="Nothing was touched"):
            run("erase_user", "alice")
    assert User.objects.get().is_active
    monkeypatch.setattr("sys.stdin", io.StringIO("Alice\n"))
    output = run("erase_user", "alice")
    assert output.startswith("This goes for good, and nobody can bring it back: the account Alice of 20")
    assert "his sessions, and 1 events with all that is shown of them." in output
    assert "accounts: 1" in output
