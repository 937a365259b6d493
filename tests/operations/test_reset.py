"""Resets: nothing is deleted without the exact phrase or under a running program; no number is used twice."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from psycopg.conninfo import conninfo_to_dict
from pytest_django.fixtures import Settings

from accounts.models import ErasedAccount, User
from eventstore import administration, log, retention
from eventstore.dispatcher import dispatch
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Origin
from eventstore.domain.plays import RecordPlay
from eventstore.domain.subscriptions import Subscribe
from feeds.models import Category
from operations import migrations, offline, rebuilding, reset
from operations.stores import SCHEMAS, parameters
from projections import deadletters, runner
from projections.connect import Connection, connect
from projections.projectors import PROJECTORS
from projections.runner import Runner
from tests.api.devices import Device, feed, item, play
from tests.apps import App
from tests.factories import UserFactory
from tests.jobs.working import run_projectors, state_of
from tests.operations.operating import Operator
from tests.projections.histories import ALICE, BOB, catalogue, dump, played, record, subscribed
from tests.projections.running import eventually, running

topology = pytest.mark.topology
WHATS = list(reset.KINDS)
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'balados-%'
"""


@pytest.fixture
def connection(stores: None) -> Iterator[Connection]:
    with connect("projections", application_name="a test") as connection:
        yield connection


@pytest.fixture
def allowed(settings: Settings, stores: None) -> None:
    """A development instance, where a phrase is enough to confirm."""
    settings.DEBUG = True


@pytest.fixture
def answered(stores: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return ``answered(what, *lines)``, which pipes these lines into db_reset and returns its output."""
    # background threads of earlier tests may still be connected
    offline.disconnect()
    for alias in SCHEMAS:
        with psycopg.connect(**parameters(alias), autocommit=True) as ending:
            ending.execute(END_SESSIONS)

    def run(what: str, *lines: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        out = io.StringIO()
        call_command("db_reset", f"--{what}", stdout=out)
        return out.getvalue()

    return run


def log_dump() -> list[tuple[Any, ...]]:
    """Return all rows of the events store, except for the projectors' acknowledgements."""
    rows: list[tuple[Any, ...]] = []
    with connections["events"].cursor() as cursor:
        for table in ("streams", "events", "snapshots", "commands"):
            cursor.execute(f"SELECT t::text FROM events.{table} t ORDER BY 1")
            rows += cursor.fetchall()
    return rows


def act(user_id: Any, number: int = 1) -> int:
    command = RecordPlay(
        user_id=user_id, feed=feed(), item=item(number), position=number, played=False, now=timezone.now()
    )
    return dispatch(command, Origin()).position


# -- confirmation


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("what", WHATS)
def test_without_the_exact_words_nothing_is_touched(
    what: reset.What, settings: Settings, answered: Callable[..., str], connection: Connection
) -> None:
    UserFactory.create(username="alice")
    record(subscribed(ALICE), played(ALICE))
    run_projectors()
    before = log_dump(), dump(connection), User.objects.count()
    name = configured.DATABASES["events" if what == "events" else "system"]["NAME"]
    wrong = [(), ("yes",), (reset.KINDS[what].phrase.lower(),), (f"{reset.KINDS[what].phrase} ",)]
    if what != "projections":
        with pytest.raises(CommandError, match="ALLOW_DESTRUCTIVE_RESET=1"):
            answered(what, reset.KINDS[what].phrase, name)
        settings.ALLOW_DESTRUCTIVE_RESET = True
        wrong += [
            (reset.KINDS[what].phrase,),
            (reset.KINDS[what].phrase, "postgres"),
            (name, reset.KINDS[what].phrase),
        ]
    for lines in wrong:
        with pytest.raises(CommandError, match="Nothing was touched"):
            answered(what, *lines)
    assert (log_dump(), dump(connection), User.objects.count()) == before


@pytest.mark.parametrize("what", WHATS)
def test_under_a_running_program_or_beside_another_reset_nothing_is_touched(
    what: reset.What,
    allowed: None,
    answered: Callable[..., str],
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    UserFactory.create(username="alice")
    record(subscribed(ALICE), played(ALICE))
    run_projectors()
    before = log_dump(), dump(connection), User.objects.count()
    with connect("system", application_name="balados-system"), monkeypatch.context() as patched:
        patched.setattr(offline, "SECONDS_TO_LEAVE", 0.1)
        with pytest.raises(CommandError, match=r"stop the web.*Nothing was touched"):
            answered(what, reset.KINDS[what].phrase)
    with offline.without_programs(["events"]), pytest.raises(CommandError, match="Another restore or reset"):
        answered(what, reset.KINDS[what].phrase)
    assert (log_dump(), dump(connection), User.objects.count()) == before


def test_a_line_of_who_and_when_and_how_many_is_left_and_no_content(
    allowed: None, answered: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    record(subscribed(ALICE, feed(7)))
    run_projectors()
    answered("projections", "DELETE")
    lines = (configured.BALADOS_HOME / reset.AUDIT).read_text().splitlines()
    begun, done = (json.loads(line) for line in lines[-2:])
    assert (begun["state"], done["state"]) == ("begun", "done")
    assert begun["reset"] == "projections"
    assert begun["by"] == reset.operator()
    assert begun["rows"]["users.subscriptions"] == 1
    assert feed(7) not in lines[-2] + lines[-1]
    assert "reset begun" in caplog.text
    assert (configured.BALADOS_HOME / reset.AUDIT).stat().st_mode & 0o777 == 0o600


# -- projections


@topology
def test_projections_are_rebuilt_and_the_events_are_as_they_were(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    record(subscribed(ALICE), played(ALICE), played(BOB))
    head = run_projectors()
    before, log, tables = dump(connection), log_dump(), catalogue(connection)
    connection.execute("DELETE FROM users.play_statuses")
    output = answered("projections", "DELETE")
    assert "users.subscriptions: 1 rows" in output
    assert "What stays: system, events." in output
    assert (dump(connection), log_dump(), catalogue(connection)) == (before, log, tables)
    assert retention.acknowledged_by_all(PROJECTORS) == head


DAMAGES = {
    "missing": "DROP TABLE users.saved_episodes",
    "column extra": "ALTER TABLE users.saved_episodes ADD COLUMN extra integer NOT NULL DEFAULT 1",
    "column saved_at": "ALTER TABLE users.saved_episodes DROP COLUMN saved_at",
    "column unsaved_at": "ALTER TABLE users.saved_episodes ALTER unsaved_at TYPE date",
    "primary key": "ALTER TABLE users.saved_episodes DROP CONSTRAINT saved_episodes_pkey",
}


def test_tables_that_are_missing_or_were_altered_are_found_and_made_anew(connection: Connection) -> None:
    act(ALICE)
    record(subscribed(BOB))
    run_projectors()
    before, tables = dump(connection), catalogue(connection)
    (projector,) = (each for each in PROJECTORS.values() if "users.saved_episodes" in each.tables)
    for words, statement in DAMAGES.items():
        connection.execute(statement)
        assert rebuilding.find_damage(rebuilding.read_models()) == {"users.saved_episodes": words}
        rebuilding.recreate_tables([projector])
        assert catalogue(connection) == tables
    assert rebuilding.find_damage(rebuilding.read_models()) == {}
    connection.execute("ALTER TABLE users.subscriptions DROP COLUMN subscribed_at")
    connection.execute("CREATE UNIQUE INDEX oops ON users.saved_episodes (user_id)")
    connection.execute("DELETE FROM users.play_statuses")
    out = io.StringIO()
    call_command("reset_projections", stdout=out)
    assert "Reset: subscriptions, " in out.getvalue()
    assert (dump(connection), catalogue(connection)) == (before, tables)
    assert retention.acknowledged_by_all(PROJECTORS) == log.head()


def test_a_running_projector_fills_what_was_made_anew_and_its_acknowledgement_is_true(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HOUSEKEEPING_EVERY", 0.05)
    record(*(subscribed(ALICE, feed(number)) for number in range(20)))
    with running(Runner()):
        eventually(lambda: retention.acknowledged_by_all(PROJECTORS) == 20)
        rebuilding.recreate_tables([PROJECTORS["subscriptions"]])
        # the rebuild is killed here: the projector then starts from the first event by itself
        eventually(lambda: len(dump(connection)["subscriptions"]) == 20)
        record(subscribed(BOB))
        eventually(lambda: retention.acknowledged_by_all(PROJECTORS) == 21)


@topology
def test_an_emptied_store_is_made_from_nothing(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    record(subscribed(ALICE), played(BOB))
    head = run_projectors()
    before, tables = dump(connection), catalogue(connection)
    connection.execute("CREATE TABLE public.of_somebody_else (id integer)")
    connection.execute("DROP SCHEMA users CASCADE")
    connection.execute("DROP TABLE public.public_events, public.podcast_popularity")
    answered("projections", "DELETE")
    assert connection.execute("SELECT count(*) FROM public.of_somebody_else").fetchone() == (0,)
    connection.execute("DROP TABLE public.of_somebody_else")
    assert (dump(connection), catalogue(connection)) == (before, tables)
    assert retention.acknowledged_by_all(PROJECTORS) == head


def test_dead_letters_begin_from_nothing_where_the_event_can_be_applied(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    record(subscribed(ALICE))
    head = run_projectors()
    connection.execute(deadletters.INSERT, ["subscriptions", 1, 1, 1, "UserSubscribed", "once", 1])
    connection.execute("UPDATE users.projector_positions SET parked = true WHERE projector = 'subscriptions'")
    retention.acknowledge({"subscriptions": 0})
    answered("projections", "DELETE")
    assert deadletters.letters(connection) == []
    assert retention.acknowledged_by_all(PROJECTORS) == head


# -- system


@topology
def test_the_system_store_goes_alone(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    device = Device(alice.pk)
    assert device.post("plays", play()).status_code == 200
    run_projectors()
    ErasedAccount.objects.create(digest="0" * 32)
    before = log_dump(), dump(connection)
    output = answered("system", "DELETE")
    assert "system.users: 1 rows" in output
    assert "The histories of 1 listeners stay in the events store" in output
    assert "/setup?token=" in output
    assert (log_dump(), dump(connection)) == before
    assert User.objects.count() == 0
    assert Category.objects.exists()
    assert ErasedAccount.objects.count() == 1, "restores of older backups go by them"
    assert device.get("plays").status_code == 401


# -- events


@topology
def test_the_log_and_the_read_models_go_and_their_numbers_go_on(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    act(ALICE)
    dispatch(Subscribe(user_id=BOB, feed=feed(), now=timezone.now()), Origin())
    head = administration.begin_epoch(run_projectors()) - 1
    epoch, stream = log.epoch(), log.stream_of(ALICE)
    output = answered("events", "DELETE ALL EVENTS")
    assert "the read models go with it" in output
    assert "events.events: " in output
    assert not any(dump(connection).values())
    assert log.head() > head
    assert log.epoch() != epoch
    # a command that would repeat something in the old state is recorded
    outcome = dispatch(Subscribe(user_id=BOB, feed=feed(), now=timezone.now()), Origin())
    assert outcome.events
    assert act(ALICE, 2) > head
    assert log.stream_of(ALICE) > stream
    assert set(state_of(ALICE).plays) == {episode_key(feed(), item(2))}
    assert list(state_of(BOB).subscriptions) == [feed()]
    run_projectors()
    assert len(dump(connection)["play_statuses"]) == 1


def test_a_cursor_of_before_leads_to_a_full_answer_and_a_position_of_before_is_known(
    allowed: None, answered: Callable[..., str]
) -> None:
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    device = Device(alice.pk)
    for number in range(3):
        device.post("plays", play(number))
    first = device.post("sync", {})
    cursor, position = first.json()["cursor"], first["Balados-Position"]  # type: ignore[attr-defined]
    run_projectors()
    answered("events", "DELETE ALL EVENTS")
    device.post("plays", play(9))
    run_projectors()
    then = device.post("sync", {"cursor": cursor}).json()  # type: ignore[attr-defined]
    assert then["full"]
    assert [one["rss_source_item"] for one in then["data"]["play_statuses"]] == [item(9)]
    read = device.get("plays", Balados_Position=position)
    assert read.status_code == 200


def test_a_store_of_which_tables_are_lost_is_made_from_nothing_above_the_known_positions(
    allowed: None, answered: Callable[..., str]
) -> None:
    act(ALICE)
    head = run_projectors()
    with connections["events"].cursor() as cursor:
        cursor.execute("DROP TABLE events.events, events.streams")
    answered("events", "DELETE ALL EVENTS")
    assert log.head() > head
    assert act(ALICE) > head


@pytest.mark.parametrize("what", ["system", "events"])
def test_what_fails_half_way_has_touched_nothing_of_its_store_and_a_repeat_does_it(
    what: reset.What,
    allowed: None,
    answered: Callable[..., str],
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    UserFactory.create(username="alice")
    act(ALICE)
    run_projectors()
    before = log_dump(), dump(connection), User.objects.count()

    def fail(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrate", fail)
        with pytest.raises(CommandError, match="Interrupted"):
            answered(what, reset.KINDS[what].phrase)
    assert (log_dump(), dump(connection), User.objects.count()) == before
    answered(what, reset.KINDS[what].phrase)
    assert (log_dump() == before[0]) == (what == "system")
    assert User.objects.count() == (1 if what == "events" else 0)


# -- by hand, at a terminal


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_an_operator_at_a_terminal_resets_everything(operator: Operator) -> None:
    system, events, projections = (
        str(conninfo_to_dict(operator.urls[alias])["dbname"]) for alias in ("system", "events", "projections")
    )
    names = list(dict.fromkeys((system, events, projections)))
    operator.environment["ALLOW_DESTRUCTIVE_RESET"] = "1"
    assert "Nothing was touched" in operator.run("db_reset", "--all", code=1)
    output = operator.type("db_reset", "--all", answers=["DELETE ALL DATA", "postgres"], code=1)
    assert "was not what was typed" in output
    output = operator.type("db_reset", "--all", answers=["DELETE ALL DATA", *names])
    assert "/setup?token=" in output
    assert operator.count("events", "events.events") == operator.count("system", "system.users") == 0
    assert "required" in operator.run("db_reset", code=2)
