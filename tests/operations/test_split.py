"""Moving a store to a database of its own while people write: nothing is lost or doubled, and a failure
leaves the old place as it was."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import StringIO
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from psycopg import sql

from accounts import erasure
from accounts.models import User
from balados.databases import store as store_settings
from balados.management.commands.store_split import shown
from eventstore import dispatcher, log
from operations import dump, maintenance, split
from operations.confirmation import NotConfirmed
from operations.errors import Refused
from operations.exclusive import HOLDER, KEYS, LOCK
from operations.split import Differs, Unfinished
from operations.stores import SCHEMAS, Note, UnsafeStore, parameters, read_note, write_note
from projections import shadows
from projections.connect import connect
from projections.erasure import erase_history
from projections.failures import in_maintenance
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from tests.factories import UserFactory
from tests.jobs.working import read_models, run_projectors
from tests.killing import killed_at
from tests.operations.living import Life, life
from tests.operations.moving import CAST, Settings, gaps, listening, override_connection, write, written
from tests.operations.operating import VARIABLES, Operator, drop, urls_on
from tests.operations.test_partitions import psql
from tests.projections.running import eventually

__all__ = ["life"]  # a fixture

in_three = pytest.mark.topology
Elsewhere = Callable[[str], Settings]


@pytest.fixture(autouse=True)
def _open_afterwards(stores: None) -> Iterator[None]:
    yield
    for alias in SCHEMAS:
        with psycopg.connect(**parameters(alias), autocommit=True) as connection:
            maintenance.disable(connection, alias)


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of a database that does not exist yet, on the server of the stores."""
    found = urls_on(os.environ["DATABASE_URL"], f"balados_{uuid4().hex[:8]}", three=False)
    yield found["system"]
    drop(found)


@pytest.fixture
def elsewhere(url: str) -> Elsewhere:
    return lambda alias: store_settings(alias, url, pool={})


@pytest.fixture
def second() -> Iterator[Elsewhere]:
    """A second database that does not exist yet."""
    found = urls_on(os.environ["DATABASE_URL"], f"balados_{uuid4().hex[:8]}", three=False)
    yield lambda alias: store_settings(alias, found["system"], pool={})
    drop(found)


def move(alias: str, there: Settings) -> split.MoveResult:
    return split.move(alias, parameters(alias, there))


def status(alias: str, there: Settings | None = None) -> tuple[str, bool]:
    """Return the state that the store's note gives, and whether the store takes writes."""
    statements = {
        "events": "DELETE FROM events.commands WHERE false",
        "system": "DELETE FROM system.used_tokens WHERE false",
        "projections": "DELETE FROM users.subscriptions WHERE false",
    }
    with ExitStack() as stack:
        if there is not None:
            stack.enter_context(override_connection(alias, there))
        connection = stack.enter_context(psycopg.connect(**parameters(alias), autocommit=True))
        note = read_note(connection, alias)
        try:
            connection.execute(statements[alias])
            takes_writes = True
        except psycopg.Error as failure:
            if not in_maintenance(failure) and not isinstance(failure, psycopg.errors.UndefinedTable):
                raise
            takes_writes = False
    return (note.state if note else "", takes_writes)


UNTOUCHED = ("", True)
MOVED = ("moved", False)
ARRIVED = ("arrived", True)


def reopen(alias: str, answer: str = "REOPEN") -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", StringIO(f"{answer}\n"))
        called("maintenance", "off", "--store", alias)


def silent(text: str) -> None:
    """Ignore ``text``: nobody listens."""


def not_confirmed(phrase: str) -> None:
    raise NotConfirmed


def forget() -> None:
    log.clear_caches()
    dispatcher.clear_cache()


def record_there(there: Settings, number: int) -> list[int]:
    """Record a play at the new place, and return the numbers in the log there."""
    with override_connection("events", there):
        forget()
        write(number)
        found = written()
        assert gaps() == []
    forget()
    return found


# What moves ---------------------------------------------------------------------------------------------


@in_three
def test_events_move_while_a_listener_plays_and_none_is_lost_or_doubled(elsewhere: Elsewhere) -> None:
    there = elsewhere("events")
    with listening("events") as listener:
        eventually(lambda: len(listener.done) > 10)
        run_projectors()
        moved = move("events", there)
        eventually(lambda: listener.refused > 0 or listener.failure is not None)
        assert listener.failure is None
        before = len(listener.done)
        old = written()
        assert sorted(old) == sorted(listener.done)
        listener.restart(there)
        eventually(lambda: len(listener.done) > before + 10)
    assert moved.tables["events.events"].rows == len(old)
    assert status("events") == MOVED
    assert written() == old
    with override_connection("events", there):
        assert sorted(written()) == sorted(listener.done)
        assert gaps() == []
        positions = [row.position for row in log.read_all(0, 1_000_000)]
        assert positions == list(range(positions[0], positions[0] + len(positions)))
        # the projectors continue from their positions
        run_projectors()
        live = read_models()
        rebuild(list(PROJECTORS.values()))
        assert read_models() == live
        forget()
    with pytest.raises(CommandError, match="was moved to database balados_"):
        call_command("store_backup", "--store", "events", "--to", "/nowhere")
    with pytest.raises(maintenance.InMaintenance, match="Set EVENT_STORE_URL to the new place"):
        maintenance.check("events")
    assert (status("events"), status("events", there)) == (MOVED, ARRIVED)


@in_three
def test_read_models_move_and_are_those_of_the_events(elsewhere: Elsewhere) -> None:
    alice = UserFactory.create(username="alice")
    for number in range(20):
        write(number, [*CAST, alice.pk][number % 4])
    run_projectors()
    live = read_models()
    there = elsewhere("projections")
    with psycopg.connect(**parameters("projections"), autocommit=True) as connection:
        # what a killed rebuild has left is moved as well, and is recreated at the new place
        shadows.create(connection, "users.subscriptions")
        try:
            moved = move("projections", there)
        finally:
            shadows.drop(connection, ["users.subscriptions"])
    assert "users.subscriptions" in moved.tables
    assert status("projections") == MOVED
    write(20)
    erasure.begin(alice.pk, timezone.now())
    with pytest.raises(psycopg.OperationalError) as refused:
        erasure.complete(alice.pk, erase_history)
    assert in_maintenance(refused.value)
    with override_connection("projections", there):
        assert read_models() == live
        # an erasure that the move interrupted is finished at the new place
        assert erasure.complete(alice.pk, erase_history)["users.play_statuses"] == 5
        run_projectors()
        after = read_models()
        rebuild(list(PROJECTORS.values()))
        assert read_models() == after


@in_three
def test_accounts_move_and_their_numbers_go_on(url: str, elsewhere: Elsewhere) -> None:
    alice = UserFactory.create(username="alice", password="correct horse")
    alice.user_permissions.add(1, 2, 3)
    out = StringIO()
    environment = {name: os.environ.pop(name) for name in ("PROJECTIONS_URL", "EVENT_STORE_URL")}
    try:
        call_command("store_split", "--store", "system", "--to", url, stdout=out)
    finally:
        os.environ.update(environment)
    for line in (
        f"DATABASE_URL={url}",
        "PROJECTIONS_URL=the DATABASE_URL of today",
        "EVENT_STORE_URL=the DATABASE_URL of today",
    ):
        assert line in out.getvalue()
    with override_connection("system", elsewhere("system")):
        found = User.objects.get()
        assert (found.pk, found.check_password("correct horse")) == (alice.pk, True)
        found.user_permissions.add(4)
        numbers = [row.pk for row in User.user_permissions.through.objects.order_by("pk")]
    assert len(set(numbers)) == 4
    with pytest.raises(Exception, match="was moved to"):
        UserFactory.create(username="bob")
    with pytest.raises(Refused, match="in use"):  # by another store
        move("events", elsewhere("events"))


def test_it_moves_to_another_server_at_a_terminal_and_the_old_place_is_dropped(
    operator: Operator, life: Life, other_server: str, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with operator.connect("events") as old:
        old.execute("INSERT INTO events.streams (name) VALUES ('user-1'), ('user-2')")
        old.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
            " SELECT 1, n, 'PlayRecorded', 1, '{}', '{}' FROM generate_series(1, 5000) n"
        )
    was = operator.urls["events"]
    arguments = ["store_split", "--store", "events", "--drop-source", "--from", was]
    with life.at(operator.urls):
        if topology == "three":  # also with a partitioned log, reported as one table
            psql(operator, "partition_events.sql", bound=10_000)
            with operator.connect("events") as old:
                old.execute("ANALYZE")
            found = json.loads(called("store_status", "--json"))["stores"]["events"]["tables"]
            (table,) = (each for each in found if each["name"].startswith("events.events"))
            assert (table["rows"], table["size_bytes"] > 100_000) == (5000, True)
        monkeypatch.setattr("sys.stdin", StringIO(f"{other_server}\n"))
        output = called("store_split", "--store", "events", "--to", "-")
        assert "events.events: 5,000 rows, the same in both" in output
        assert f"EVENT_STORE_URL={other_server}" in output
        with pytest.raises(CommandError, match="is the place in use"):
            called(*arguments)
    with (
        life.at({**operator.urls, "events": other_server}),
        psycopg.connect(was, application_name="balados-events"),
        pytest.raises(CommandError, match="1 sessions still use"),
    ):
        called(*arguments)
    operator.environment[VARIABLES["events"]] = other_server
    name = str(psycopg.conninfo.conninfo_to_dict(was)["dbname"])
    with life.at({**operator.urls, "events": other_server}):
        monkeypatch.setattr("sys.stdin", StringIO("DELETE\nbalados\n"))
        with pytest.raises(CommandError, match="Nothing was touched"):
            called(*arguments)
        if topology == "three":
            monkeypatch.setattr("sys.stdin", StringIO(f"DELETE\n{name}\n"))
            output = called(*arguments)
    if topology == "one":
        output = operator.type(*arguments, answers=["DELETE", name])
    assert "events.events: 5,000 rows" in output
    with psycopg.connect(was) as connection:
        assert connection.execute("SELECT to_regnamespace('events')").fetchone() == (None,)
    with psycopg.connect(other_server) as connection:
        assert connection.execute("SELECT count(*) FROM events.events").fetchone() == (5000,)


def called(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_a_password_is_not_shown() -> None:
    assert (
        shown("postgresql://u:geheim@h:5432/x?sslmode=require")
        == "postgresql://u:***@h:5432/x?sslmode=require"
    )
    assert shown("postgresql://u:@/x?host=/run") == "postgresql://u:@/x?host=/run"
    assert shown("postgresql://u@h/x") == "postgresql://u@h/x"


# What is dropped, and what is not -----------------------------------------------------------------------


def test_what_is_dropped_is_ours_alone_and_a_drop_that_was_killed_or_done_by_hand_is_finished(
    url: str, elsewhere: Elsewhere, second: Elsewhere
) -> None:
    here, there = elsewhere("projections"), second("projections")
    move("projections", here)
    old = parameters("projections", here)

    def drop_source(confirm: split.Confirm = silent) -> None:
        split.drop_source("projections", old, say=lines.append, confirm=confirm)

    lines: list[str] = []
    with psycopg.connect(**old, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.notes (id serial, text text)")
        owner.execute("CREATE VIEW public.popular AS SELECT * FROM public.podcast_popularity")
        with override_connection("projections", here):
            assert "public.notes" not in move("projections", there).tables
        owner.execute("INSERT INTO public.notes (text) VALUES ('ours is closed, this is not')")
        with override_connection("projections", there):
            with psycopg.connect(**parameters("projections"), autocommit=True) as new:
                found = new.execute("SELECT to_regclass('public.notes'), to_regclass('public.popular')")
                assert found.fetchone() == (None, None)
                arrived = read_note(new, "projections")
            with pytest.raises(psycopg.errors.DependentObjectsStillExist):
                drop_source()
            owner.execute("DROP VIEW public.popular")
            killed_at("dropped", drop_source)
            assert not any("notes" in line for line in lines)
            assert owner.execute("SELECT text FROM public.notes").rowcount == 1
            left = owner.execute("SELECT to_regclass('public.podcast_popularity'), to_regnamespace('users')")
            assert left.fetchone() == (None, None)
            assert status("projections") == ARRIVED
            with pytest.raises(Refused, match="nothing is dropped"):  # another empty place proves nothing
                split.drop_source("projections", {**old, "dbname": "postgres"}, say=silent, confirm=silent)
            drop_source(not_confirmed)
            assert status("projections") == UNTOUCHED
    with override_connection("projections", there):
        # the tables were dropped by hand
        with psycopg.connect(**parameters("projections"), autocommit=True) as new:
            write_note(new, "projections", arrived)
        drop_source(not_confirmed)
        assert status("projections") == UNTOUCHED


# What is refused ----------------------------------------------------------------------------------------


def refused(alias: str, target: Settings, why: str) -> None:
    with pytest.raises(Refused, match=why):
        move(alias, target)
    assert status(alias) == UNTOUCHED


@in_three
def test_a_place_that_cannot_be_moved_to_is_refused(url: str, elsewhere: Elsewhere) -> None:
    for alias in SCHEMAS:
        same = os.environ[VARIABLES[alias]].replace("?host", "?application_name=x&host")
        refused(alias, store_settings(alias, same, pool={}), "already")
    with psycopg.connect(**parameters("system"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody")
        connection.execute("CREATE ROLE nobody LOGIN")
        try:
            with pytest.raises(CommandError, match="may not create it"):
                call_command(
                    "store_split", "--store", "events", "--to", url.replace("postgres:@", "nobody:@")
                )
        finally:
            connection.execute("DROP ROLE nobody")
        assert status("events") == UNTOUCHED
        name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (text text)")
    refused("events", elsewhere("events"), r"in use: it holds public\.notes")


def test_a_store_that_is_restored_or_in_maintenance_is_not_moved(elsewhere: Elsewhere) -> None:
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        write_note(connection, "events", Note("restoring"))
        with pytest.raises(UnsafeStore, match="restore of the events store has not ended"):
            move("events", elsewhere("events"))
        write_note(connection, "events", None)
    call_command("maintenance", "on", "--store", "events", stdout=StringIO())
    with pytest.raises(Refused, match="maintenance status"):
        move("events", elsewhere("events"))
    assert status("events") == ("maintenance", False)


# What goes wrong ----------------------------------------------------------------------------------------


def test_whatever_ends_the_copy_the_old_place_opens_again_and_the_repeat_starts_over(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, copy = elsewhere("events"), dump.copy

    def spoiled(alias: str, source: Any, target: Any, *arguments: Any) -> None:
        if trouble == "interrupted":
            raise KeyboardInterrupt
        if trouble == "pg_restore fails":
            with psycopg.connect(**target, autocommit=True) as connection:
                connection.execute("CREATE TABLE events.streams ()")
        copy(alias, source, target, *arguments)
        if trouble == "a row differs":
            with psycopg.connect(**target, autocommit=True) as connection:
                connection.execute("ALTER TABLE events.streams DISABLE TRIGGER ALL")
                connection.execute("UPDATE events.streams SET name = name || '!'")
        if trouble == "opened meanwhile":
            with psycopg.connect(**source, autocommit=True) as connection:
                maintenance.disable(connection, "events")

    errors: dict[str, tuple[type[BaseException], str | None]] = {
        "a row differs": (Differs, r"events\.streams: 1 rows .* and not the same"),
        "interrupted": (KeyboardInterrupt, None),
        "pg_restore fails": (dump.ToolFailed, 'pg_restore failed: .*relation "streams" already exists'),
        "opened meanwhile": (Differs, "was opened while it moved"),
    }
    write(0)
    for number, (trouble, (error, message)) in enumerate(errors.items(), 1):
        with monkeypatch.context() as patch:
            patch.setattr(dump, "copy", spoiled)
            with pytest.raises(error, match=message):
                move("events", there)
        assert status("events") == UNTOUCHED, trouble
        assert status("events", there)[0] == "filling"
        write(number)
    # what these attempts left at the new place is ours, and is recreated
    assert move("events", there).tables["events.events"].rows == len(written())
    assert record_there(there, 5) == [0, 1, 2, 3, 4, 5]


def test_where_it_is_not_known_whether_the_new_place_is_open_the_old_stays_closed_and_the_repeat_finds_out(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(1)
    there, disable = elsewhere("events"), maintenance.disable

    def without_an_answer(*arguments: Any) -> None:
        disable(*arguments)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "disable", without_an_answer)
        with pytest.raises(Unfinished, match="stays closed to writes"):
            move("events", there)
    assert status("events") == ("moving", False)
    assert record_there(there, 2) == [1, 2]
    assert move("events", there).tables == {}
    assert (status("events"), status("events", there)) == (MOVED, ARRIVED)


def test_a_store_that_is_being_moved_is_not_opened_by_hand_and_is_closed_whole_afterwards(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = elsewhere("events")
    messages: list[str] = []

    def look(point: str) -> None:
        if point == "copied":
            for target in (None, there):
                with ExitStack() as stack:
                    if target is not None:
                        stack.enter_context(override_connection("events", target))
                    with pytest.raises(CommandError) as failure:
                        call_command("maintenance", "off", "--store", "events", stdout=StringIO())
                    messages.append(str(failure.value))
        if point == "arrived":  # the old place loses its triggers
            with psycopg.connect(**parameters("events"), autocommit=True) as connection:
                connection.execute("ALTER TABLE events.events DISABLE TRIGGER ALL")

    monkeypatch.setattr(split, "failpoint", look)
    write(1)
    move("events", there)
    assert ["is at work" in text for text in messages] == [True, True], messages
    assert status("events") == MOVED
    with pytest.raises(psycopg.OperationalError, match="was moved to"):
        write(2)


def is_held(alias: str) -> bool:
    """Whether a command holds its lock: the server needs a moment to notice that one was killed."""
    with connect(alias) as connection:
        return bool(connection.execute(HOLDER, [LOCK, KEYS[alias]]).fetchall())


# Killed, and back ---------------------------------------------------------------------------------------


def test_killed_anywhere_it_is_open_or_closed_and_the_repeat_goes_on_or_it_is_opened_again(
    url: str, elsewhere: Elsewhere
) -> None:
    there = elsewhere("events")
    third = store_settings("events", url.replace("/balados_", "/balados_x"), pool={})

    def go() -> None:
        move("events", there)

    write(0)
    for number, point in enumerate(("prepared", "closed", "copied", "opening"), 1):
        killed_at(point, go)
        if point == "prepared":
            assert status("events") == UNTOUCHED
        else:
            with pytest.raises(psycopg.OperationalError, match="is being moved to database balados_"):
                write(number)
            with pytest.raises(Refused, match="balados_"):
                move("events", third)
            killed_at(point, go)  # the repeat starts over
            eventually(lambda: not is_held("events"))
            with pytest.raises(CommandError, match="Nothing was touched"):
                reopen("events", "yes")
            assert status("events") == ("moving", False)
            reopen("events")
        assert status("events") == UNTOUCHED
        assert status("events", there) == ("filling", False)
        write(number)
    # what was left at the new place is recreated
    killed_at("arrived", go)
    with pytest.raises(psycopg.OperationalError, match="is being moved to database balados_"):
        write(5)
    assert record_there(there, 6) == [0, 1, 2, 3, 4, 6]
    assert (status("events"), status("events", there)) == (("moving", False), ARRIVED)
    assert move("events", there).tables == {}
    assert (status("events"), status("events", there)) == (MOVED, ARRIVED)
    assert record_there(there, 7) == [0, 1, 2, 3, 4, 6, 7]


def test_a_copy_that_outlives_its_killed_command_is_ended_by_the_repeat(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = elsewhere("events")
    write(1)
    with monkeypatch.context() as patch:
        patch.setattr(dump, "copy", lambda *arguments: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            move("events", there)
    server = parameters("events", there)
    orphan = psycopg.connect(**server, application_name=dump.APPLICATION)
    orphan.execute("CREATE TABLE events.streams ()")
    assert move("events", there).tables["events.events"].rows == 1
    with pytest.raises(psycopg.OperationalError):
        orphan.execute("SELECT 1")
    assert record_there(there, 2) == [1, 2]


def test_a_new_place_that_does_not_say_what_it_is_is_neither_dropped_nor_used_again(
    elsewhere: Elsewhere,
) -> None:
    write(1)
    there = elsewhere("events")
    killed_at("arrived", lambda: move("events", there))
    with psycopg.connect(**parameters("events", there), autocommit=True) as new:
        arrived = read_note(new, "events")
        write_note(new, "events", None)
    with pytest.raises(Refused):
        move("events", there)
    assert status("events") == ("moving", False)
    # nor is one whose old place was opened again by hand and took writes
    with psycopg.connect(**parameters("events"), autocommit=True) as old:
        maintenance.disable(old, "events")
    with psycopg.connect(**parameters("events", there), autocommit=True) as new:
        write_note(new, "events", arrived)
    write(2)
    with pytest.raises(Refused):
        move("events", there)
    assert status("events") == UNTOUCHED
    assert record_there(there, 3) == [1, 3]
