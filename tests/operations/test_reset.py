"""Resets: nothing goes without the words for it; and what runs on during a reset is not deceived."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from psycopg.conninfo import conninfo_to_dict
from pytest_django.fixtures import Settings

from accounts.models import ErasedAccount, User
from eventstore import administration, dispatcher, erasure, log, retention
from eventstore.dispatcher import StreamErased, dispatch
from eventstore.domain.checkpoint import PublicHistoryTrimmed
from eventstore.domain.messages import INSTANCE
from eventstore.domain.plays import RecordPlay
from eventstore.domain.subscriptions import Subscribe
from eventstore.log import Origin
from feeds.models import Category
from operations import recreate, repair, reset
from projections import deadletters, queries, runner
from projections.connect import Connection, connect
from projections.projectors import PROJECTORS
from projections.runner import Runner
from tests.api.devices import Device, feed, item, play
from tests.apps import App
from tests.factories import UserFactory
from tests.jobs.working import read_models, settle, state_of
from tests.operations.operating import Operator
from tests.projections.histories import ALICE, BOB, catalogue, dump, played, record, subscribed
from tests.projections.running import eventually, running

topology = pytest.mark.topology
WHATS = list(reset.KINDS)


@pytest.fixture
def connection(stores: None) -> Iterator[Connection]:
    with connect("projections") as connection:
        yield connection


@pytest.fixture
def allowed(settings: Settings, stores: None) -> None:
    """An instance for development, so that a phrase is enough."""
    settings.DEBUG = True


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``answered(what, *lines)``: db_reset with these lines piped in; what it says."""

    def run(what: str, *lines: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        out = io.StringIO()
        call_command("db_reset", f"--{what}", stdout=out)
        return out.getvalue()

    return run


def log_dump() -> list[tuple[Any, ...]]:
    """Everything in the events store, but for how far projectors say that they are."""
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


# -- what is asked


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("what", WHATS)
def test_without_the_exact_words_nothing_is_touched(
    what: reset.What, settings: Settings, answered: Callable[..., str], connection: Connection
) -> None:
    UserFactory.create(username="alice")
    record(subscribed(ALICE), played(ALICE))
    settle()
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


def test_a_second_reset_at_the_same_time_is_refused(allowed: None, answered: Callable[..., str]) -> None:
    with reset.only_reset(), pytest.raises(CommandError, match="another reset is running"):
        answered("all", "DELETE ALL DATA")


def test_a_line_of_who_and_when_and_how_many_is_left_and_no_content(
    allowed: None, answered: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    record(subscribed(ALICE, feed(7)))
    settle()
    answered("projections", "DELETE")
    lines = (configured.BALADOS_HOME / reset.AUDIT).read_text().splitlines()
    begun, done = (json.loads(line) for line in lines[-2:])
    assert (begun["state"], done["state"]) == ("begun", "done")
    assert begun["reset"] == "projections"
    assert begun["by"] == reset._operator()
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
    head = settle()
    before, log, tables = dump(connection), log_dump(), catalogue(connection)
    connection.execute("DELETE FROM users.play_statuses")
    said = answered("projections", "DELETE")
    assert "users.subscriptions: 1 rows" in said
    assert "What stays: system, events." in said
    assert (dump(connection), log_dump(), catalogue(connection)) == (before, log, tables)
    assert retention.acknowledged_by_all(PROJECTORS) == head


def test_readers_never_see_fewer_rows_while_projections_are_reset(
    allowed: None, connection: Connection
) -> None:
    record(*(subscribed(ALICE, feed(number)) for number in range(50)))
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(len(queries.subscriptions(ALICE, limit=1000).rows))
        connections.close_all()

    with running(Runner()):
        eventually(lambda: all(queries.position_of(name) >= 50 for name in PROJECTORS))
        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(3):
            with reset.only_reset():
                reset.run("projections", io.StringIO())
            record(subscribed(BOB))
        stop.set()
        reader.join()
        eventually(lambda: all(queries.position_of(name) == log.head() for name in PROJECTORS))
    assert set(seen) == {50}
    assert len(dump(connection)["subscriptions"]) == 51


DAMAGES = {
    "missing": "DROP TABLE users.saved_episodes",
    "column extra": "ALTER TABLE users.saved_episodes ADD COLUMN extra integer NOT NULL DEFAULT 1",
    "column saved_at": "ALTER TABLE users.saved_episodes DROP COLUMN saved_at",
    "column unsaved_at": "ALTER TABLE users.saved_episodes ALTER unsaved_at TYPE date",
    "primary key": "ALTER TABLE users.saved_episodes DROP CONSTRAINT saved_episodes_pkey",
    "unique index oops": "CREATE UNIQUE INDEX oops ON users.saved_episodes (user_id)",
    "constraint late": "ALTER TABLE users.saved_episodes ADD CONSTRAINT late CHECK (saved_at < '2000-01-01')",
}


def test_tables_that_are_missing_or_were_altered_are_found_and_made_anew(connection: Connection) -> None:
    stream = act(ALICE) and log.stream_of(ALICE)
    record(subscribed(BOB))
    settle()
    before, tables = dump(connection), catalogue(connection)
    (projector,) = (each for each in PROJECTORS.values() if "users.saved_episodes" in each.tables)
    for words, statement in DAMAGES.items():
        connection.execute(statement)
        assert repair.find_damage(repair.read_models()) == {"users.saved_episodes": words}
        repair.repair([projector], print)
        assert catalogue(connection) == tables
    connection.execute("ALTER TABLE users.subscriptions DROP COLUMN subscribed_at")
    connection.execute("DROP TABLE users.saved_episodes")
    out = io.StringIO()
    call_command("reset_projections", stdout=out)
    assert "users.saved_episodes was made anew: missing." in out.getvalue()
    assert "users.subscriptions was made anew: column subscribed_at." in out.getvalue()
    assert (dump(connection), catalogue(connection)) == (before, tables)
    assert retention.acknowledged_by_all(PROJECTORS) == log.head()
    assert stream == log.stream_of(ALICE)


def test_what_the_migrations_make_is_in_order_and_an_index_of_ones_own_is_left_alone(
    connection: Connection,
) -> None:
    connection.execute("CREATE INDEX our_own ON users.saved_episodes (saved_at)")
    assert repair.find_damage(repair.read_models()) == {}
    assert not repair.is_unusable()
    connection.execute("DROP INDEX users.our_own")


def test_a_running_projector_fills_what_was_made_anew_and_its_acknowledgement_is_true(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HOUSEKEEPING_EVERY", 0.05)
    record(*(subscribed(ALICE, feed(number)) for number in range(20)))
    with running(Runner()):
        eventually(lambda: retention.acknowledged_by_all(PROJECTORS) == 20)
        repair.repair([PROJECTORS["subscriptions"]], print)
        # killed here: the projector starts from the first event by itself
        eventually(lambda: len(dump(connection)["subscriptions"]) == 20)
        record(subscribed(BOB))
        eventually(lambda: retention.acknowledged_by_all(PROJECTORS) == 21)


@topology
def test_an_emptied_store_is_made_from_nothing(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    record(subscribed(ALICE), played(BOB))
    head = settle()
    before, tables = dump(connection), catalogue(connection)
    connection.execute("CREATE TABLE public.of_somebody_else (id integer)")
    connection.execute("DROP SCHEMA users CASCADE")
    connection.execute("DROP TABLE public.public_events, public.podcast_popularity")
    said = answered("projections", "DELETE")
    assert "stays, not ours: public.of_somebody_else" in said
    assert "all were made anew" in said
    assert connection.execute("SELECT count(*) FROM public.of_somebody_else").fetchone() == (0,)
    connection.execute("DROP TABLE public.of_somebody_else")
    assert (dump(connection), catalogue(connection)) == (before, tables)
    assert retention.acknowledged_by_all(PROJECTORS) == head


def test_dead_letters_begin_from_nothing_where_the_event_can_be_applied(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    record(subscribed(ALICE))
    head = settle()
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
    settle()
    ErasedAccount.objects.create(digest="0" * 32)
    before = log_dump(), dump(connection)
    said = answered("system", "DELETE")
    assert "system.users: 1 rows" in said
    assert "The histories of 1 listeners stay in the events store" in said
    assert "/setup?token=" in said
    assert (log_dump(), dump(connection)) == before
    assert User.objects.count() == 0
    assert Category.objects.exists()
    assert ErasedAccount.objects.count() == 1, "restores of older backups go by them"
    assert device.get("plays").status_code == 401


# -- events


@topology
def test_positions_and_streams_go_on_so_that_processes_that_run_on_are_right(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    """The caches of this process know the log of before: nothing tells them."""
    act(ALICE)
    dispatch(Subscribe(user_id=BOB, feed=feed(), now=timezone.now()), Origin())
    head = administration.begin_epoch(settle()) - 1
    leaps = log.position_gaps()
    streams = log.stream_of(ALICE), log.stream_of(BOB)
    said = answered("events", "DELETE ALL EVENTS")
    assert "read models are stale after it" in said
    assert "events.events: " in said
    assert not any(dump(connection).values())
    assert log.head() > head
    assert log.position_gaps() == leaps
    assert (log.stream_of(ALICE), log.stream_of(BOB)) == streams
    # what the old state would call a repeat is recorded
    outcome = dispatch(Subscribe(user_id=BOB, feed=feed(), now=timezone.now()), Origin())
    assert outcome.events
    assert act(ALICE, 2) > head
    assert set(state_of(ALICE).plays) == {item(2)}
    assert list(state_of(BOB).subscriptions) == [feed()]
    settle()
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
    settle()
    answered("events", "DELETE ALL EVENTS")
    device.post("plays", play(9))
    settle()
    then = device.post("sync", {"cursor": cursor}).json()  # type: ignore[attr-defined]
    assert then["full"]
    assert [one["rss_source_item"] for one in then["data"]["play_statuses"]] == [item(9)]
    read = device.get("plays", Balados_Position=position)
    assert read.status_code == 200


def test_running_projectors_go_on_after_the_events_are_reset(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    record(subscribed(ALICE), played(BOB))
    with running(Runner()):
        eventually(lambda: len(dump(connection)["subscriptions"]) == 1)
        answered("events", "DELETE ALL EVENTS")
        eventually(lambda: not any(dump(connection).values()))
        act(BOB, 3)
        eventually(lambda: len(dump(connection)["play_statuses"]) == 1)
        eventually(lambda: retention.acknowledged_by_all(PROJECTORS) == log.head())


def test_running_projectors_alone_clear_what_is_stale(connection: Connection) -> None:
    """Where the reset was killed before it came to the read models."""
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    device = Device(alice.pk)
    device.put("privacy", {"privacy": "public"})
    device.post("plays", play())
    settle()
    assert len(dump(connection)["public_events"]) == 1
    reset._reset_events(print, keep=True)
    settle()
    assert not any(dump(connection).values())


def test_a_store_of_which_tables_are_lost_is_made_from_nothing_above_the_known_positions(
    allowed: None, answered: Callable[..., str]
) -> None:
    act(ALICE)
    head = settle()
    with connections["events"].cursor() as cursor:
        cursor.execute("DROP TABLE events.events, events.streams")
    answered("events", "DELETE ALL EVENTS")
    dispatcher.forget()
    log.clear_caches()
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
    settle()
    before = log_dump(), dump(connection), User.objects.count()

    def fail(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(recreate, "migrate", fail)
        with pytest.raises(CommandError, match="Interrupted"):
            answered(what, reset.KINDS[what].phrase)
    assert (log_dump(), dump(connection), User.objects.count()) == before
    answered(what, reset.KINDS[what].phrase)
    assert (log_dump() == before[0]) == (what == "system")
    assert User.objects.count() == (1 if what == "events" else 0)


def test_tombstones_outlive_the_log(allowed: None, answered: Callable[..., str]) -> None:
    act(ALICE)
    stream = log.stream_of(ALICE)
    erasure.tombstone_stream(ALICE)
    answered("events", "DELETE ALL EVENTS")
    with pytest.raises(StreamErased):
        act(ALICE)
    assert log.append(stream, 0, [subscribed(ALICE)], Origin()) is None


# -- everything


@topology
def test_after_all_it_is_like_new_and_late_writers_are_refused(
    allowed: None, answered: Callable[..., str], connection: Connection
) -> None:
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    device = Device(alice.pk)
    device.post("plays", play())
    stream = log.stream_of(alice.pk)
    head = settle()
    tables = catalogue(connection)
    said = answered("all", "DELETE ALL DATA")
    assert "/setup?token=" in said
    assert log.head() == 0
    assert not any(dump(connection).values())
    assert catalogue(connection) == tables
    assert User.objects.count() == 0
    assert device.post("plays", play()).status_code == 401
    # a request that was let in before, in this very process
    log._streams[alice.pk] = stream
    with pytest.raises(StreamErased):
        act(alice.pk)
    assert act(BOB) > head
    assert log.stream_of(BOB) > stream
    settle()
    assert len(read_models()["play_statuses"]) == 1


def test_after_all_a_process_that_knew_the_instances_stream_finds_the_new_one(
    allowed: None, answered: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed = [PublicHistoryTrimmed(before=timezone.now())]
    head = log.append_to_instance(trimmed)
    old = log.stream_of(INSTANCE)
    answered("all", "DELETE ALL DATA")
    log._streams[INSTANCE] = old
    append, tries = log.append, iter(range(3))

    def counted(*arguments: Any) -> int | None:
        assert next(tries, None) is not None, "it would try for ever"
        return append(*arguments)

    monkeypatch.setattr(log, "append", counted)
    assert log.append_to_instance(trimmed) > head
    assert log.stream_of(INSTANCE) > old


# -- by hand, at a terminal


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_an_operator_at_a_terminal_resets_everything(operator: Operator) -> None:
    system, events, projections = (
        str(conninfo_to_dict(operator.urls[alias])["dbname"]) for alias in ("system", "events", "projections")
    )
    names = list(dict.fromkeys((system, events, projections)))
    operator.environment["ALLOW_DESTRUCTIVE_RESET"] = "1"
    assert "Nothing was touched" in operator.run("db_reset", "--all", code=1)
    said = operator.type("db_reset", "--all", answers=["DELETE ALL DATA", "postgres"], code=1)
    assert "was not what was typed" in said
    said = operator.type("db_reset", "--all", answers=["DELETE ALL DATA", *names])
    assert "/setup?token=" in said
    assert operator.count("events", "events.events") == operator.count("system", "system.users") == 0
    assert "required" in operator.run("db_reset", code=2)
