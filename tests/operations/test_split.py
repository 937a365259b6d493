"""A store moves to a database of its own while people write: nothing is lost, nothing doubled, and what goes
wrong leaves the old place as it was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from psycopg import sql

from accounts import erasure
from accounts.models import User
from balados.databases import store as store_settings
from balados.management.commands.store_split import shown
from eventstore import dispatcher, log
from operations import copying, fence, split
from operations.confirmation import NotConfirmed
from operations.copying import Differs
from operations.split import Refused, Settings, Unfinished
from operations.standin import standing_in
from operations.stores import SCHEMAS, parameters
from projections import shadows
from projections.erasure import erase_history
from projections.failures import in_maintenance
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.shadows import USES, Use
from tests.jobs.working import read_models, settle
from tests.operations.moving import CAST, gaps, listening, write, written
from tests.operations.operating import VARIABLES, Operator, drop, urls_on
from tests.operations.test_partitions import psql
from tests.projections.running import eventually

ROOT = Path(__file__).resolve().parents[2]
in_three = pytest.mark.topology


def silent(text: str) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def _open_afterwards(stores: None) -> Iterator[None]:
    yield
    for alias in SCHEMAS:
        with psycopg.connect(**parameters(alias), autocommit=True) as connection:
            fence.down(connection, alias)


@pytest.fixture
def url() -> Iterator[str]:
    """Of a database that does not exist yet, on the server of the stores."""
    found = urls_on(os.environ["DATABASE_URL"], f"balados_{uuid4().hex[:8]}", three=False)
    yield found["system"]
    drop(found)


@pytest.fixture
def elsewhere(url: str) -> Callable[[str], Settings]:
    return lambda alias: store_settings(alias, url, pool={})


def note(alias: str) -> str | None:
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        found = fence.read(connection, alias)
    return None if found is None else found.state


def is_open(alias: str) -> bool:
    statements = {
        "events": "DELETE FROM events.commands WHERE false",
        "system": "DELETE FROM system.used_tokens WHERE false",
        "projections": "DELETE FROM users.subscriptions WHERE false",
    }
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        try:
            connection.execute(statements[alias])
        except psycopg.OperationalError as failure:
            if in_maintenance(failure):
                return False
            raise
    return True


@in_three
def test_events_move_while_a_listener_plays_and_none_is_lost_or_doubled(
    elsewhere: Callable[[str], Settings],
) -> None:
    there = elsewhere("events")
    with listening("events") as listener:
        eventually(lambda: len(listener.done) > 30)
        settle()
        moved = split.move("events", there)
        eventually(lambda: listener.refused > 0)
        before = len(listener.done)
        old = written()
        assert sorted(old) == sorted(listener.done)
        listener.restart(there)
        eventually(lambda: len(listener.done) > before + 30)
    assert moved.tables["events.events"].rows == len(old)
    assert (is_open("events"), note("events")) == (False, "moved")
    assert written() == old
    with standing_in("events", there):
        assert is_open("events")
        assert sorted(written()) == sorted(listener.done)
        assert gaps() == []
        positions = [row.position for row in log.read_all(0, 1_000_000)]
        assert positions == list(range(positions[0], positions[0] + len(positions)))
        # the projectors go on from where they are
        settle()
        live = read_models()
        rebuild(list(PROJECTORS.values()))
        assert read_models() == live
        log.clear_caches()
        dispatcher.forget()


@in_three
@pytest.mark.parametrize("rebuilding", [False, True], ids=["copied", "rebuilt"])
def test_read_models_move_and_are_those_of_the_events(
    elsewhere: Callable[[str], Settings], rebuilding: bool
) -> None:
    for number in range(20):
        write(number, CAST[number % 3])
    settle()
    live = read_models()
    there = elsewhere("projections")
    split.move("projections", there, rebuilding=rebuilding)
    assert not is_open("projections")
    write(20)
    with standing_in("projections", there):
        assert is_open("projections")
        assert read_models() == live
        settle()
        moved = read_models()
        rebuild(list(PROJECTORS.values()))
        assert read_models() == moved


def test_an_account_that_is_erased_while_read_models_are_rebuilt_elsewhere_is_not_in_them(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = User.objects.create_user("alice")
    write(1, alice.pk)
    write(2)
    settle()
    there = elsewhere("projections")

    def rebuild_slowly(*arguments: Any) -> None:
        rebuild(*arguments)
        # in another process, that is: at the old place
        with standing_in("projections", old):
            erase_history(alice.pk)

    old = dict(connections["projections"].settings_dict)
    monkeypatch.setattr(split, "rebuild", rebuild_slowly)
    split.move("projections", there, rebuilding=True)
    with standing_in("projections", there), connections["projections"].cursor() as cursor:
        cursor.execute("SELECT DISTINCT user_id FROM users.play_statuses")
        assert cursor.fetchall() == [(CAST[0],)]


def test_an_erasure_that_the_move_interrupted_is_finished_at_the_new_place(
    elsewhere: Callable[[str], Settings],
) -> None:
    alice = User.objects.create_user("alice")
    write(1, alice.pk)
    settle()
    there = elsewhere("projections")
    split.move("projections", there)
    erasure.begin(alice.pk, timezone.now())
    with pytest.raises(psycopg.OperationalError) as refused:
        erasure.complete(alice.pk, erase_history)
    assert in_maintenance(refused.value)
    with standing_in("projections", there):
        assert erasure.complete(alice.pk, erase_history)["users.play_statuses"] == 1


@in_three
def test_accounts_move_and_their_numbers_go_on(elsewhere: Callable[[str], Settings]) -> None:
    alice = User.objects.create_user("alice", password="correct horse")
    alice.user_permissions.add(1, 2, 3)
    there = elsewhere("system")
    split.move("system", there)
    with standing_in("system", there):
        found = User.objects.get()
        assert (found.pk, found.check_password("correct horse")) == (alice.pk, True)
        found.user_permissions.add(4)
        numbers = [row.pk for row in User.user_permissions.through.objects.order_by("pk")]
    assert len(set(numbers)) == 4
    with pytest.raises(Exception, match="was moved to"):
        User.objects.create_user("bob")


def test_it_moves_to_another_server_at_a_terminal_and_the_old_place_is_dropped(
    operator: Operator, other_server: str, topology: str
) -> None:
    with operator.connect("events") as old:
        old.execute("INSERT INTO events.streams (name) VALUES ('user-1'), ('user-2')")
        old.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
            " SELECT 1, n, 'PlayRecorded', 1, '{}', '{}' FROM generate_series(1, 5000) n"
        )
    if topology == "three":  # and a log in partitions, which arrives as one table
        psql(operator, "partition_events.sql", bound=10_000)
        status = json.loads(operator.run("store_status", "--json"))
        (table,) = (
            each
            for each in status["stores"]["events"]["figures"]["tables"]
            if each["name"].startswith("events.events")
        )
        assert (table["rows"], table["size_bytes"] > 100_000) == (5000, True)
    said = operator.run("store_split", "--store", "events", "--to", "-", typed=f"{other_server}\n")
    assert "events.events: 5,000 rows, the same in both" in said
    assert f"EVENT_STORE_URL={other_server}" in said
    was = operator.urls["events"]
    refused = operator.run("store_split", "--store", "events", "--drop-source", "--from", was, code=1)
    assert "is the place in use" in refused
    operator.environment[VARIABLES["events"]] = other_server
    with psycopg.connect(was, application_name="balados-events"):
        refused = operator.run("store_split", "--store", "events", "--drop-source", "--from", was, code=1)
        assert "1 sessions still use" in refused
    arguments = ("store_split", "--store", "events", "--drop-source", "--from", was)
    name = str(psycopg.conninfo.conninfo_to_dict(was)["dbname"])
    assert "nothing was touched" in operator.type(*arguments, answers=["DELETE", "balados"], code=1).lower()
    said = operator.type(*arguments, answers=["DELETE", name])
    assert "events.events: 5,000 rows" in said
    with psycopg.connect(was) as connection:
        assert connection.execute("SELECT to_regnamespace('events')").fetchone() == (None,)
    with psycopg.connect(other_server) as connection:
        assert connection.execute("SELECT count(*) FROM events.events").fetchone() == (5000,)


def test_the_setting_of_a_moved_system_store_names_the_others_first(url: str) -> None:
    out = StringIO()
    environment = {name: os.environ.pop(name) for name in ("PROJECTIONS_URL", "EVENT_STORE_URL")}
    try:
        call_command("store_split", "--store", "system", "--to", url, stdout=out)
    finally:
        os.environ.update(environment)
    said = out.getvalue()
    assert f"DATABASE_URL={url}" in said
    assert "PROJECTIONS_URL=the DATABASE_URL of today" in said
    assert "EVENT_STORE_URL=the DATABASE_URL of today" in said


def test_a_password_is_not_shown() -> None:
    assert (
        shown("postgresql://u:geheim@h:5432/x?sslmode=require")
        == "postgresql://u:***@h:5432/x?sslmode=require"
    )
    assert shown("postgresql://u:@/x?host=/run") == "postgresql://u:@/x?host=/run"
    assert shown("postgresql://u@h/x") == "postgresql://u@h/x"


# What is dropped, and what is not --------------------------------------------------------------------------


@pytest.fixture
def second() -> Iterator[Callable[[str], Settings]]:
    """A second database that does not exist yet."""
    found = urls_on(os.environ["DATABASE_URL"], f"balados_{uuid4().hex[:8]}", three=False)
    yield lambda alias: store_settings(alias, found["system"], pool={})
    drop(found)


def place(alias: str, there: Settings) -> dict[str, Any]:
    with standing_in(alias, there):
        return {key: value for key, value in parameters(alias).items() if key != "options"}


def test_tables_of_others_are_neither_moved_nor_dropped_nor_closed(
    elsewhere: Callable[[str], Settings], second: Callable[[str], Settings]
) -> None:
    here, there = elsewhere("projections"), second("projections")
    split.move("projections", here)
    old = place("projections", here)
    with psycopg.connect(**old, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.notes (id serial, text text)")
        owner.execute("CREATE VIEW public.popular AS SELECT * FROM public.podcast_popularity")
        with standing_in("projections", here):
            assert "public.notes" not in split.move("projections", there).tables
        owner.execute("INSERT INTO public.notes (text) VALUES ('ours is closed, this is not')")
        said: list[str] = []
        with standing_in("projections", there):
            with pytest.raises(psycopg.errors.DependentObjectsStillExist):
                split.drop_source("projections", old, say=said.append, confirm=silent)
            owner.execute("DROP VIEW public.popular")
            split.drop_source("projections", old, say=said.append, confirm=silent)
            assert note("projections") is None
        assert not any("notes" in line for line in said)
        assert owner.execute("SELECT text FROM public.notes").rowcount == 1
        left = owner.execute("SELECT to_regclass('public.podcast_popularity'), to_regnamespace('users')")
        assert left.fetchone() == (None, None)


def moved_on(here: Settings, there: Settings) -> dict[str, Any]:
    """Events moved to ``here`` and on to ``there``; where the former is."""
    split.move("events", here)
    with standing_in("events", here):
        split.move("events", there)
    return place("events", here)


def test_a_drop_that_was_killed_at_its_end_is_finished_by_the_repeat(
    elsewhere: Callable[[str], Settings], second: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = second("events")
    old = moved_on(elsewhere("events"), there)

    def die(point: str) -> None:
        if point == "dropped":
            raise KeyboardInterrupt

    with standing_in("events", there):
        with monkeypatch.context() as patch:
            patch.setattr(split, "reach", die)
            with pytest.raises(KeyboardInterrupt):
                split.drop_source("events", old, say=silent, confirm=silent)
        assert note("events") == "arrived"
        with pytest.raises(Refused, match="nothing is dropped"):  # another empty place tells nothing
            split.drop_source(
                "events", parameters("events") | {"dbname": "postgres"}, say=silent, confirm=silent
            )
        split.drop_source("events", old, say=silent, confirm=not_confirmed)
        assert (is_open("events"), note("events")) == (True, None)


def test_an_old_place_that_was_dropped_by_hand_is_forgotten(
    url: str, elsewhere: Callable[[str], Settings], second: Callable[[str], Settings]
) -> None:
    there = second("events")
    old = moved_on(elsewhere("events"), there)
    asked: list[str] = []
    with standing_in("events", there):
        with psycopg.connect(**parameters("events")) as connection:
            arrived = fence.read(connection, "events")
        split.drop_source("events", old | {"port": "1"}, say=silent, confirm=asked.append)
        assert (asked, note("events")) == (["GONE"], None)
        # as it was, with the server there and the database gone
        with psycopg.connect(**parameters("events"), autocommit=True) as connection:
            fence.write(connection, "events", arrived)
        drop({"events": url})
        split.drop_source("events", old, say=silent, confirm=not_confirmed)
        assert note("events") is None


@pytest.mark.parametrize("use", USES)
def test_what_a_killed_rebuild_or_verification_left_is_not_moved(
    elsewhere: Callable[[str], Settings], use: Use
) -> None:
    with psycopg.connect(**parameters("projections"), autocommit=True) as connection:
        shadows.create(connection, "users.subscriptions", use)
        try:
            moved = split.move("projections", elsewhere("projections"))
        finally:
            shadows.drop(connection, ["users.subscriptions"], use)
    assert "users.subscriptions" in moved.tables
    assert not any("__" in table for table in moved.tables)


# What is refused ----------------------------------------------------------------------------------------


def refused(alias: str, target: Settings, why: str) -> None:
    with pytest.raises(Refused, match=why):
        split.move(alias, target)
    assert (is_open(alias), note(alias)) == (True, None)


@in_three
@pytest.mark.parametrize("alias", SCHEMAS)
def test_the_same_database_is_refused_however_it_is_spelled(alias: str) -> None:
    url = os.environ[VARIABLES[alias]].replace("?host", "?application_name=x&host")
    refused(alias, store_settings(alias, url, pool={}), "already")


def test_a_database_in_use_is_refused(url: str, elsewhere: Callable[[str], Settings]) -> None:
    with psycopg.connect(**parameters("system"), autocommit=True) as connection:
        name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (text text)")
    refused("events", elsewhere("events"), "in use: it holds public.notes")


def test_a_second_store_in_the_new_place_of_another_is_refused(elsewhere: Callable[[str], Settings]) -> None:
    split.move("system", elsewhere("system"))
    refused("events", elsewhere("events"), "in use")


def test_a_store_that_lacks_migrations_is_refused(elsewhere: Callable[[str], Settings]) -> None:
    newest = MigrationLoader(None).graph.leaf_nodes("eventstore")[0]
    recorder = MigrationRecorder(connections["events"])
    recorder.record_unapplied(*newest)
    try:
        refused("events", elsewhere("events"), "db_migrate")
    finally:
        recorder.record_applied(*newest)


def test_without_the_right_to_create_a_database_nothing_happens(url: str) -> None:
    with psycopg.connect(**parameters("system"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody")
        connection.execute("CREATE ROLE nobody LOGIN")
        weak = url.replace("postgres:@", "nobody:@")
        try:
            with pytest.raises(CommandError, match="may not create it"):
                call_command("store_split", "--store", "events", "--to", weak)
        finally:
            connection.execute("DROP ROLE nobody")
    assert (is_open("events"), note("events")) == (True, None)


def test_a_table_that_no_migration_makes_is_named_before_the_store_is_closed(
    elsewhere: Callable[[str], Settings],
) -> None:
    said: list[str] = []
    with connections["events"].cursor() as cursor:
        cursor.execute("CREATE TABLE events.notes (text text)")
        try:
            with pytest.raises(Differs, match=r"events\.notes is not made by migrations"):
                split.move("events", elsewhere("events"), say=said.append)
        finally:
            cursor.execute("DROP TABLE events.notes")
    assert not any("Maintenance" in line for line in said)
    assert (is_open("events"), note("events")) == (True, None)


def test_a_row_that_does_not_arrive_as_it_was_sent_opens_the_old_place_again(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(1)
    set_sequences = copying._set_sequences

    def spoil(source: Any, target: Any, alias: str) -> None:
        set_sequences(source, target, alias)
        target.execute("UPDATE events.streams SET name = name || '!'")

    with monkeypatch.context() as patch:
        patch.setattr(copying, "_set_sequences", spoil)
        with pytest.raises(Differs, match=r"events\.streams: 1 rows .* and not the same"):
            split.move("events", elsewhere("events"))
    assert (is_open("events"), note("events")) == (True, None)
    write(2)
    # what the first try left there is ours, and made anew
    assert split.move("events", elsewhere("events")).tables["events.events"].rows == len(written())


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), psycopg.errors.DiskFull("no space left")])
def test_whatever_ends_the_copy_the_old_place_opens_again(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*arguments: object) -> None:
        raise failure

    write(1)
    monkeypatch.setattr(copying, "compare", fail)
    with pytest.raises(type(failure)):
        split.move("events", elsewhere("events"))
    assert (is_open("events"), note("events")) == (True, None)
    write(2)


def test_a_commit_without_an_answer_is_looked_after_at_the_new_place(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(1)
    monkeypatch.setattr(split, "reach", lambda point: None)
    there, connected = elsewhere("events"), split._connected

    @contextmanager
    def breaking(params: Any) -> Iterator[Any]:
        with connected(params) as connection:
            yield connection
        if fence.PASSES in params.get("options", ""):
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(split, "_connected", breaking)
    split.move("events", there)
    assert (is_open("events"), note("events")) == (False, "moved")


@pytest.mark.parametrize("rebuilding", [False, True], ids=["copied", "rebuilt"])
def test_a_store_that_somebody_opened_meanwhile_has_not_moved(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch, rebuilding: bool
) -> None:
    def open_it(*arguments: object) -> None:
        with psycopg.connect(**old, autocommit=True) as connection:
            fence.down(connection, "projections")

    old = parameters("projections")
    monkeypatch.setattr(fence, "PATIENCE_TO_TIDY", 0.0)
    monkeypatch.setattr(*((split, "_erase_erased") if rebuilding else (copying, "_set_sequences")), open_it)
    there = elsewhere("projections")
    with pytest.raises(Refused, match="was opened while it moved"):
        split.move("projections", there, rebuilding=rebuilding)
    assert (is_open("projections"), note("projections")) == (True, None)
    assert note_there("projections", there) == "filling"


def test_a_store_that_is_being_moved_is_not_opened_by_hand(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = copying.compare
    told: list[str] = []

    def look(*arguments: Any) -> Any:
        for target in (None, there):
            with ExitStack() as stack:
                if target is not None:
                    stack.enter_context(standing_in("events", target))
                with pytest.raises(CommandError) as failure:
                    call_command("maintenance", "off", "--store", "events", stdout=StringIO())
                told.append(str(failure.value))
        return compare(*arguments)

    monkeypatch.setattr(copying, "compare", look)
    there = elsewhere("events")
    write(1)
    split.move("events", there)
    assert ["is at work" in text for text in told] == [True, True], told
    assert (is_open("events"), note("events")) == (False, "moved")


def test_a_move_that_has_ended_leaves_the_fence_whole(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_triggers(point: str) -> None:
        if point == "arrived":
            with psycopg.connect(**parameters("events"), autocommit=True) as connection:
                fence.remove(connection, "events")

    monkeypatch.setattr(split, "reach", lose_the_triggers)
    split.move("events", elsewhere("events"))
    assert (is_open("events"), note("events")) == (False, "moved")


def test_where_the_new_place_cannot_be_asked_the_old_one_stays_closed_and_the_repeat_finds_out(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(1)
    there, closed = elsewhere("events"), split._closed

    def breaking(alias: str, target: Settings, note: Any, say: Any, fill: Callable[[Any], None]) -> float:
        def filled(arriving: Any) -> None:
            fill(arriving)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        return closed(alias, target, note, say, filled)

    with monkeypatch.context() as patch:
        patch.setattr(split, "_closed", breaking)
        patch.setattr(split, "_has_arrived", lambda *arguments: None)
        with pytest.raises(Unfinished, match="stays closed to writes"):
            split.move("events", there)
    assert not is_open("events")
    assert split.move("events", there).tables == {}
    assert note("events") == "moved"


# Killed, and back ---------------------------------------------------------------------------------------


def die_at(point: str, url: str, *arguments: str) -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "store_split", "--store", "events", "--to", url, *arguments],
        cwd=ROOT,
        env={**os.environ, "BALADOS_FAILPOINT": point},
        input=b"DELETE\n",
        capture_output=True,
        timeout=60,
    )
    assert process.returncode == -9, process.stdout + process.stderr


@pytest.mark.parametrize("point", ["prepared", "fenced", "copying:3", "copied", "arrived"])
def test_killed_anywhere_it_is_open_or_says_how_to_go_on_and_the_repeat_does(
    point: str, url: str, elsewhere: Callable[[str], Settings]
) -> None:
    write(1)
    write(2)
    die_at(point, url)
    if point == "prepared":
        assert is_open("events")
        write(3)
    else:
        assert not is_open("events")
        with pytest.raises(psycopg.OperationalError, match="is being moved to database balados_"):
            write(3)
    split.move("events", elsewhere("events"))
    old = written()
    assert (is_open("events"), note("events")) == (False, "moved")
    with standing_in("events", elsewhere("events")):
        assert written() == old
        log.clear_caches()
        dispatcher.forget()
        write(4)
        assert (written(), gaps()) == ([*old, 4], [])
        log.clear_caches()
        dispatcher.forget()


@pytest.mark.parametrize("point", ["fenced", "arrived"])
def test_after_a_kill_there_is_a_way_back(point: str, url: str, elsewhere: Callable[[str], Settings]) -> None:
    write(1)
    die_at(point, url)
    with pytest.raises(NotConfirmed):
        split.abort("events", elsewhere("events"), say=silent, confirm=not_confirmed)
    assert not is_open("events")
    split.abort("events", elsewhere("events"), say=silent, confirm=silent)
    assert (is_open("events"), note("events")) == (True, None)
    write(2)
    assert written() == [1, 2]
    # and the new place is as empty as one that was never used
    split.move("events", elsewhere("events"))


def not_confirmed(phrase: str) -> None:
    raise NotConfirmed


def test_there_is_no_way_back_over_what_was_written_at_the_new_place(
    elsewhere: Callable[[str], Settings],
) -> None:
    write(1)
    there = elsewhere("events")
    split.move("events", there)
    with standing_in("events", there):
        log.clear_caches()
        dispatcher.forget()
        write(2)
    with pytest.raises(Refused, match="has been written to, which would be lost"):
        split.abort("events", there, say=silent, confirm=silent)
    assert not is_open("events")
    with standing_in("events", there):
        write(3)
        assert written() == [1, 2, 3]
        log.clear_caches()
        dispatcher.forget()


def record_there(there: Settings, number: int) -> list[int]:
    """A play at the new place; the numbers in the log there."""
    with standing_in("events", there):
        log.clear_caches()
        dispatcher.forget()
        write(number)
        found = written()
    log.clear_caches()
    dispatcher.forget()
    return found


def note_there(alias: str, there: Settings) -> str | None:
    with standing_in(alias, there):
        return note(alias)


@pytest.mark.parametrize("point", ["compared", "reopened"])
def test_an_abort_that_was_killed_goes_on_when_it_is_repeated(
    point: str, url: str, elsewhere: Callable[[str], Settings]
) -> None:
    write(1)
    there = elsewhere("events")
    split.move("events", there)
    die_at(point, url, "--abort")
    assert is_open("events") is (point == "reopened")
    with standing_in("events", there):
        assert not is_open("events")
    if point == "reopened":
        write(2)
    split.abort("events", there, say=silent, confirm=silent)
    assert (is_open("events"), note("events")) == (True, None)
    write(3)
    assert note_there("events", there) is None


def test_an_abort_that_was_killed_does_not_forget_to_look_for_what_was_written_at_the_new_place(
    url: str, elsewhere: Callable[[str], Settings]
) -> None:
    write(1)
    there = elsewhere("events")
    split.move("events", there)
    assert record_there(there, 2) == [1, 2]
    die_at("leaving", url, "--abort")
    with pytest.raises(Refused, match="has been written to, which would be lost"):
        split.abort("events", there, say=silent, confirm=silent)
    assert not is_open("events")
    assert record_there(there, 3) == [1, 2, 3]


def test_an_abort_that_is_interrupted_before_the_old_place_opens_leaves_the_new_one_in_use(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    write(1)
    there = elsewhere("events")
    split.move("events", there)
    with monkeypatch.context() as patch:
        patch.setattr(copying, "same", fail)
        with pytest.raises(KeyboardInterrupt):
            split.abort("events", there, say=silent, confirm=silent)
    assert (is_open("events"), note("events")) == (False, "moved")
    assert note_there("events", there) == "arrived"
    assert record_there(there, 2) == [1, 2]


def test_there_is_no_way_back_over_a_new_place_that_lost_its_note(
    elsewhere: Callable[[str], Settings],
) -> None:
    write(1)
    there = elsewhere("events")
    split.move("events", there)
    assert record_there(there, 2) == [1, 2]
    with standing_in("events", there), psycopg.connect(**parameters("events"), autocommit=True) as new:
        fence.write(new, "events", None)
    with pytest.raises(Refused, match="which would be lost"):
        split.abort("events", there, say=silent, confirm=silent)
    assert not is_open("events")


def test_accounts_that_were_erased_at_the_new_place_are_erased_before_the_abort_drops_it(
    elsewhere: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = User.objects.create_user("alice")
    write(1, alice.pk)
    write(2)
    settle()
    there = elsewhere("projections")
    split.move("projections", there)
    with standing_in("projections", there):
        erase_history(alice.pk)

    def blocked(*arguments: object) -> None:
        raise fence.Blocked("somebody reads")

    with monkeypatch.context() as patch:
        patch.setattr(split, "_drop", blocked)
        with pytest.raises(fence.Blocked):
            split.abort("projections", there, say=silent, confirm=silent)
    assert is_open("projections")
    with connections["projections"].cursor() as cursor:
        cursor.execute("SELECT DISTINCT user_id FROM users.play_statuses")
        assert cursor.fetchall() == [(CAST[0],)]
    with standing_in("projections", there):
        assert not is_open("projections")
    split.abort("projections", there, say=silent, confirm=silent)
    assert note_there("projections", there) is None


def test_another_place_is_refused_while_a_move_is_not_done(
    url: str, elsewhere: Callable[[str], Settings]
) -> None:
    die_at("fenced", url)
    third = store_settings("events", url.replace("/balados_", "/balados_x"), pool={})
    for refuse in (split.move, lambda alias, target: split.abort(alias, target, say=silent, confirm=silent)):
        with pytest.raises(Refused, match="balados_"):
            refuse("events", third)
    assert not is_open("events")
    split.abort("events", elsewhere("events"), say=silent, confirm=silent)
