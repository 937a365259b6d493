"""Moving one store into a database of its own while the others, and its readers, go on.

The new place is made by the migrations and fenced; then the old one is fenced, and everything is copied and
compared in one transaction, with which the new place opens. The old one never opens again unless told to: a
process that still has the old URL is refused, and records nothing that nobody would ever see.

Killed anywhere, the same command again goes on or starts over; ``abort`` goes back.
docs/decisions/0011-fence.md
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import psycopg
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from psycopg import IsolationLevel, sql

from eventstore.domain.identifiers import key_of
from eventstore.failpoints import failpoint
from eventstore.follower import settled_head
from operations import copying, fence, inventory, migrations, recreate, stores
from operations.copying import Differs
from operations.exclusive import exclusive
from operations.fence import Connection, Note
from operations.inventory import TEXT, Place, TableSum, place_of
from operations.standin import standing_in
from operations.stores import LASTING, SCHEMAS, parameters
from projections.catchup import catch_up
from projections.connect import connect
from projections.erasure import erase_rows
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.worker import Worker

LOCK: Final = 0x62616C6D  # "balm": one mover at a time in a database
IN_USE = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1 LIMIT 3
"""
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ %s
"""
# what the processes that use a store call themselves there (balados/databases.py, projections/connect.py)
NAMES: Final = {
    "system": "^balados-system$",
    "events": "^balados-(events|listener)$",
    "projections": "^balados-(projections|projector|projector-locks|late-.*|rebuild)$",
}
ERASED = "SELECT id, name FROM events.streams WHERE tombstone IS NOT NULL"
# "erased-" and the digest; a second stream of the same user has a number behind that
LENGTH_OF_ERASED: Final = 7 + 32
USERS = "SELECT DISTINCT user_id FROM {} WHERE user_id IS NOT NULL"

Settings = Mapping[str, Any]
Say = Callable[[str], None]
Reached = Callable[[int, int], None]
Confirm = Callable[[str], None]


class Refused(Exception):
    """This cannot be done; the text says why. Nothing was changed."""


class Unfinished(Exception):
    """The old place stays closed: it is not known whether the new is complete. The text says what to do."""


class Moved(NamedTuple):
    """``tables``: what was copied, by table; empty after a rebuild, or where an earlier try had copied.

    ``seconds``: for how long nobody could write.
    """

    source: Place
    target: Place
    tables: dict[str, TableSum]
    seconds: float


def move(
    alias: str,
    target: Settings,
    *,
    say: Say = lambda text: None,
    reached: Reached = lambda done, total: None,
    rebuilding: bool = False,
) -> Moved:
    """Move the store ``alias`` to ``target`` (``balados.databases.store``), which must hold nothing.

    With ``rebuilding`` (projections alone) the read models are made there from the events, and not copied.
    Raises ``Refused``, ``fence.Blocked``, ``Differs``, ``stores.UnsafeStore``, ``psycopg.Error``: then the
    source is as it was, and open. ``Unfinished`` where that cannot be known.
    """
    with _alone(alias, say):
        _refuse_pending(alias)
        source, known = place_of(parameters(alias)), _note(parameters(alias), alias)
        there, found = _look(alias, target)
        if there.same_database(source):
            raise Refused(f"The {alias} store is there already: {there}.")
        if known is not None and known.state in ("moving", "moved"):
            if _is_end_of(known, found):
                _settle(alias, known)
                return Moved(source, there, {}, 0.0)
            if known.state == "moved" or not _leads_to(known, there):
                raise Refused(
                    f"The {alias} store is on its way to {known.other}: repeat that, or go back (--abort)."
                )
        elif known is not None and known.state == "maintenance":
            raise Refused(f"The {alias} store is in maintenance: manage.py maintenance off --store {alias}")
        with _prepared(alias, target, source, say) as there:
            note = _note_of("moving", there)
            failpoint("prepared")
            work = _rebuild if rebuilding else _copy
            tables, seconds = work(alias, target, note, source, say, reached)
        failpoint("arrived")
        _settle(alias, note)
        return Moved(source, there, tables, seconds)


def abort(alias: str, target: Settings, *, say: Say, confirm: Confirm) -> None:
    """Go back: open the old place again and drop what was made at ``target``.

    Raises ``Refused`` where the new place has been written to since: that would be lost.
    """
    with _alone(alias, say):
        source, known = place_of(parameters(alias)), _note(parameters(alias), alias)
        there, found = _look(alias, target)
        if there.same_database(source):
            raise Refused(
                f"The setting points at {there} already: to go back, let it point at the old place."
            )
        begun = known is not None and known.state in ("moving", "moved")
        ours = found is not None and (_comes_from(found, source) or _is_left(known, found))
        if not ours and not begun:
            raise Refused(f"Nobody has begun to move the {alias} store from {source} to {there}.")
        if known is not None and begun and not _leads_to(known, there):
            raise Refused(f"The {alias} store was moved to {known.other}, and not to {there}.")
        say(f"This opens the {alias} store in {source} again.")
        if ours:
            say(f"It deletes what was made of it in {there}.")
        confirm("DELETE")
        with _connected(parameters(alias)) as old:
            if ours and found is not None:
                _abandon(alias, target, old, found)
                return
            if alias != "projections":
                _refuse_written(alias, target)
            _open_again(old, alias)


def drop_source(alias: str, old: Mapping[str, Any], *, say: Say, confirm: Confirm) -> None:
    """Drop the store at the place that it was moved from, ``old`` (what ``psycopg.connect`` takes).

    The settings point at the new place by now. Raises ``Refused`` while anything speaks against it.
    """
    with _alone(alias, say):
        here, found = place_of(parameters(alias)), _note(parameters(alias), alias)
        try:
            there, known = _look_at(old, alias)
        except psycopg.OperationalError as failure:
            if found is None or found.state != "arrived":
                raise
            say(str(failure).strip().splitlines()[0])
            say(f"Where {found.other} is gone for good, this forgets that the {alias} store came from there.")
            say("Where it is only away, what is there stays, closed, until somebody drops it by hand.")
            confirm("GONE")
            _forget_source(alias)
            return
        if there.same_database(here):
            raise Refused(f"{here} is the place in use: let the setting point at the new one first.")
        if found is not None and _is_gone(found, there, known, old, alias):
            say(f"Nothing of the {alias} store is in {there} any more.")
            _forget_source(alias)
            return
        if found is None or found.state != "arrived" or known is None or known.move != found.move:
            raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
        with _connected(old) as source, _connected(parameters(alias)) as target:
            if known.state != "moved":
                fence.say(source, alias, known_as(known, "moved"))
            _refuse_behind(source, target, alias)
            _refuse_sessions(source, alias, there)
            say(f"This goes for good, from {there}:")
            going = recreate.owned_tables(source.cursor(), alias)
            for table in inventory.tables(source, alias):
                if table.name in going:
                    say(f"  {table.name}: {table.rows:,} rows, {table.size / 2**20:,.1f} MiB")
            say(f"The {alias} store in {here} stays.")
            confirm("DELETE")
            confirm(there.database)
            _refuse_sessions(source, alias, there)
            fence.patiently(source, alias, partial(_drop, source, alias), fence.PATIENCE)
        failpoint("dropped")
        _forget_source(alias)


def _is_gone(found: Note, there: Place, known: Note | None, old: Mapping[str, Any], alias: str) -> bool:
    """Whether the place that the store came from holds nothing of it any more."""
    if found.state != "arrived" or not _leads_to(found, there) or known is not None:
        return False
    if not _exists(old):
        return True
    with _connected(old) as source:
        return not fence.tables_of(source, alias)


def _forget_source(alias: str) -> None:
    with _connected(parameters(alias)) as target:
        fence.write(target, alias, None)


def old_place(alias: str) -> dict[str, Any] | None:
    """Where a moved store came from, if another store still lives in that database."""
    found = _note(parameters(alias), alias)
    if found is None or found.state != "arrived":
        return None
    for other in SCHEMAS:
        if other != alias:
            place = place_of(parameters(other))
            if (place.system, place.database) == (found.system, found.database):
                return parameters(other)
    return None


@contextmanager
def nobody_moves(connection: Connection, alias: str) -> Iterator[None]:
    """Keep movers and migrations of the store at this place waiting in the block.

    Raises ``Refused`` where one is at work.
    """
    at_work = f"A store_split or a migration of the {alias} store is at work: wait for it, or end it, first."

    def refuse(text: str) -> None:
        raise Refused(at_work)

    _lock(connection, LOCK, at_work)
    try:
        with exclusive(connection, alias, refuse):
            yield
    finally:
        with suppress(psycopg.OperationalError):  # gone with its session
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def known_as(note: Note, state: fence.State) -> Note:
    return Note(state, note.since, note.move, note.other, note.system, note.database)


# Each step ---------------------------------------------------------------------------------


@contextmanager
def _prepared(alias: str, target: Settings, source: Place, say: Say) -> Iterator[Place]:
    """The new place, made by the migrations, empty and fenced; one mover at a time works there."""
    applied = _applied(alias)
    with standing_in(alias, target):
        params = parameters(alias)
        if _exists(params):
            with _connected(params) as connection:
                _refuse_in_use(connection, alias, place_of(params), source)
                _lock(connection, LOCK, "Another process moves a store to there.")
                _drop(connection, alias)
        for name in stores.create([alias], say):
            say(f"created: {name}")
        with _connected(params) as connection:
            _lock(connection, LOCK, "Another process moves a store to there.")
            there = place_of(params)
            _refuse_in_use(connection, alias, there, source)
            stores.refuse_unsafe({alias} & set(LASTING))
            filling = _note_of("filling", source)
            fence.write(connection, alias, filling)
            say(f"Making the tables in {there}.")
            migrations.migrate(alias, say, verbosity=0)
            if _applied(alias) != applied:
                raise Refused(
                    "The new place would have other migrations than the old one: manage.py db_migrate."
                )
            fence.up(connection, alias, filling)
    with _connected(params) as connection:
        _lock(connection, LOCK, "Another process moves a store to there.")
        yield there


def _copy(
    alias: str, target: Settings, note: Note, source: Place, say: Say, reached: Reached
) -> tuple[dict[str, TableSum], float]:
    with standing_in(alias, target):
        params = {**parameters(alias), "options": f"{TEXT} -c {fence.PASSES}=on"}
    tables: dict[str, TableSum] = {}
    arrived = _arrived(note, source)

    reading = {**parameters(alias), "options": TEXT}
    with _connected(reading) as here, _connected({**params, "options": TEXT}) as there:
        copying.tables_to_copy(here, there, alias)

    def fill(arriving: Callable[[], None]) -> None:
        with _connected(reading) as reader, _connected(params) as writer:
            reader.isolation_level, reader.read_only = IsolationLevel.REPEATABLE_READ, True
            with reader.transaction():
                writer.execute("BEGIN")
                tables.update(copying.copy_store(reader, writer, alias, reached))
                fence.remove(writer, alias)
                fence.write(writer, alias, arrived)
                failpoint("copied")
                arriving()
                writer.execute("COMMIT")

    return tables, _closed(alias, target, note, say, fill)


def _rebuild(
    alias: str, target: Settings, note: Note, source: Place, say: Say, reached: Reached
) -> tuple[dict[str, TableSum], float]:
    """Most of it while the old read models are kept and read; the rest, which is short, behind the fence."""
    say("Making the read models there from the events.")
    with standing_in(alias, target):
        rebuild(list(PROJECTORS.values()), reached)

    def fill(arriving: Callable[[], None]) -> None:
        with standing_in(alias, target):
            # as far as the old ones are, at least: what those have acknowledged may be deleted
            with connect(alias, application_name="balados-rebuild") as connection:
                catch_up([Worker(each, connection) for each in PROJECTORS.values()], settled_head())
            _erase_erased()
            with _connected(parameters(alias)) as connection:
                arriving()
                fence.down(connection, alias, _arrived(note, source))

    return {}, _closed(alias, target, note, say, fill)


def _closed(
    alias: str, target: Settings, note: Note, say: Say, fill: Callable[[Callable[[], None]], None]
) -> float:
    """Fence the old place and ``fill`` the new; open the old again where that fails. Returns the seconds.

    ``fill`` is given what to call before the statement that opens the new place.
    """
    arriving = False
    old = parameters(alias)

    def arrive() -> None:
        nonlocal arriving
        with _connected(old) as source:
            known = fence.read(source, alias)
            if known is None or known.move != note.move or not fence.refuses(source, alias):
                raise Refused(
                    f"The {alias} store was opened while it moved: what was written since is not in the copy."
                    " It has not moved: run the same command again."
                )
        arriving = True

    with _connected(parameters(alias)) as connection:
        fence.up(connection, alias, note)
    began = time.monotonic()
    failpoint("fenced")
    say(f"Maintenance: nobody writes to the {alias} store from now on; it is read as before.")
    try:
        fill(arrive)
    except BaseException as failure:
        # whether a commit of which no answer came was done, the new place alone can tell
        done = _has_arrived(alias, target, note) if arriving else False
        if done is not True:
            _reopen(alias, note, known=done is False, failure=failure)
            raise
    return time.monotonic() - began


def _reopen(alias: str, note: Note, *, known: bool, failure: BaseException) -> None:
    if known:
        with suppress(psycopg.Error), _connected(parameters(alias)) as connection:
            found = fence.read(connection, alias)
            if found is None or found.move == note.move:  # or somebody closed it for another reason
                fence.down(connection, alias)
            return
    raise Unfinished(
        f"The {alias} store stays closed to writes: it cannot be told whether everything is in {note.other}."
        " Run the same command again once both servers answer, or go back with --abort."
    ) from failure


def _settle(alias: str, note: Note) -> None:
    with _connected(parameters(alias)) as connection:
        # the triggers as well: some may be gone
        fence.up(connection, alias, known_as(note, "moved"))


def _abandon(alias: str, target: Settings, old: Connection, found: Note) -> None:
    """Open the old place and empty the new one, unless it holds what the old one does not."""
    with standing_in(alias, target):
        params = parameters(alias)
    with _connected(params) as new:
        _lock(new, LOCK, "Another process moves a store to there.")
        if found.state in ("arrived", "moved"):
            _leave(alias, target, new, found)
        failpoint("compared")
        _open_again(old, alias)
        failpoint("reopened")
        fence.patiently(new, alias, partial(_drop, new, alias), fence.PATIENCE)


def _leave(alias: str, target: Settings, new: Connection, found: Note) -> None:
    """Close the new place for good; it stays in use where it holds what the old one does not.

    "moved" until that is known, "abandoned" from then on: whoever repeats a killed abort can tell.
    """
    try:
        fence.up(new, alias, known_as(found, "moved"))
        failpoint("leaving")
        if alias != "projections":  # they are in the events
            _compare(alias, target)
        fence.say(new, alias, known_as(found, "abandoned"))
    except BaseException as failure:
        with suppress(psycopg.Error):  # away: a repeat compares again
            fence.down(new, alias, known_as(found, "arrived"))
        if isinstance(failure, Differs):
            raise Refused(_would_be_lost(failure)) from None
        raise


def _open_again(old: Connection, alias: str) -> None:
    fence.down(old, alias)
    if alias == "projections":
        _erase_erased()


def _refuse_written(alias: str, target: Settings) -> None:
    """Where the new place has lost its note (opened by hand, restored), its rows alone can tell."""
    with standing_in(alias, target):
        params = parameters(alias)
    if not _exists(params):
        return
    with _connected(params) as new:
        if not fence.tables_of(new, alias):
            return
    try:
        _compare(alias, target)
    except Differs as difference:
        raise Refused(_would_be_lost(difference)) from None


def _would_be_lost(difference: Differs) -> str:
    return (
        f"The new place has been written to, which would be lost. {difference}"
        " Move the store back with store_split, from there to a third place."
    )


def _compare(alias: str, target: Settings) -> None:
    with standing_in(alias, target):
        there = {**parameters(alias), "options": TEXT}
    with _connected({**parameters(alias), "options": TEXT}) as old, _connected(there) as new:
        copying.same(old, new, alias)


def _erase_erased() -> None:
    """Erase the rows of accounts that were erased while these read models were not the ones in use."""
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        streams: dict[str, list[int]] = {}
        for stream, name in connection.execute(ERASED):
            streams.setdefault(str(name)[:LENGTH_OF_ERASED], []).append(int(stream))
    for user_id in _users():
        if gone := streams.get(f"erased-{key_of(str(user_id))}"):
            erase_rows(user_id, gone)


def _users() -> set[UUID]:
    users: set[UUID] = set()
    with psycopg.connect(**parameters("projections"), autocommit=True) as connection:
        for table in fence.tables_of(connection, "projections"):
            if connection.execute(
                "SELECT FROM information_schema.columns"
                " WHERE (table_schema, table_name, column_name) = (%s, %s, 'user_id')",
                table,
            ).rowcount:
                found = connection.execute(sql.SQL(USERS).format(sql.Identifier(*table)))
                users |= {user_id for (user_id,) in found}
    return users


def _drop(connection: Connection, alias: str) -> None:
    """Drop what is ours of a store, and its schemas; ``public`` stays, which is not ours alone."""
    with connection.cursor() as cursor:
        recreate.drop(cursor, alias)
        for schema in SCHEMAS[alias]:
            if schema != recreate.SHARED:
                cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


# What stands in the way --------------------------------------------------------------------


@contextmanager
def _alone(alias: str, say: Say) -> Iterator[None]:
    """No migration of the store meanwhile, and no other mover."""
    with _connected(parameters(alias)) as connection, exclusive(connection, alias, say):
        yield


def _lock(connection: Connection, number: int, otherwise: str) -> None:
    if connection.execute("SELECT pg_try_advisory_lock(%s)", [number]).fetchone() != (True,):
        raise Refused(otherwise)


def _refuse_pending(alias: str) -> None:
    if migrations.plan(alias):
        raise Refused(f"The {alias} store lacks migrations: run manage.py db_migrate first.")
    if migrations.unknown(alias):
        raise Refused(f"The {alias} store has migrations that this version does not know: update it first.")
    with _connected(parameters(alias)) as connection:
        if stores.being_restored(connection, alias):
            raise Refused(f"A restore of the {alias} store has not ended: run that store_restore again.")


def _applied(alias: str) -> set[tuple[str, str]]:
    return set(MigrationRecorder(connections[alias]).applied_migrations())


def _refuse_in_use(connection: Connection, alias: str, there: Place, source: Place) -> None:
    row = connection.execute("SELECT pg_is_in_recovery(), current_setting('server_encoding')").fetchone()
    if row is not None and row[0]:
        raise Refused(f"{there} is a replica: name a primary.")
    if row is not None and row[1] != "UTF8":
        raise Refused(f"{there} has the encoding {row[1]}: make it with UTF8.")
    found = fence.read(connection, alias)
    if found is not None and found.state == "filling" and _comes_from(found, source):
        return
    if used := [name for (name,) in connection.execute(IN_USE)]:
        raise Refused(
            f"{there} is in use: it holds {', '.join(used)}. A store moves to a database of its own."
        )


def _refuse_sessions(source: Connection, alias: str, there: Place) -> None:
    row = source.execute(SESSIONS, [NAMES[alias]]).fetchone()
    if row and row[0]:
        raise Refused(
            f"{row[0]} sessions still use the {alias} store in {there}: restart every process (web,"
            " projector, worker, beat) with the new setting first."
        )


def _refuse_behind(source: Connection, target: Connection, alias: str) -> None:
    for name in copying.sequences(source, alias):
        here, there = copying.value(source, name), copying.value(target, name)
        if there < here:
            raise Refused(
                f"{'.'.join(name)} is at {there[0]:,} in the new place, and at {here[0]:,} in the old."
            )


def _look(alias: str, target: Settings) -> tuple[Place, Note | None]:
    """Where ``target`` is (its database need not exist yet), and the note there."""
    with standing_in(alias, target):
        params = parameters(alias)
    return _look_at(params, alias)


def _look_at(params: Mapping[str, Any], alias: str) -> tuple[Place, Note | None]:
    if not _exists(params):
        server = place_of({**params, "dbname": "postgres"})
        return server._replace(database=str(params["dbname"])), None
    return place_of(params), _note(params, alias)


def _exists(params: Mapping[str, Any]) -> bool:
    try:
        psycopg.connect(**params).close()
    except psycopg.OperationalError:
        if not stores.is_missing(params):
            raise
        return False
    return True


@contextmanager
def _connected(params: Mapping[str, Any]) -> Iterator[Connection]:
    with psycopg.connect(**{"application_name": "balados-split", **params}, autocommit=True) as connection:
        yield connection


# Notes -------------------------------------------------------------------------------------


def _note(params: Mapping[str, Any], alias: str) -> Note | None:
    with _connected(params) as connection:
        return fence.read(connection, alias)


def _note_of(state: fence.State, other: Place) -> Note:
    return Note(state, datetime.now(UTC), str(uuid4()), str(other), other.system, other.database)


def _arrived(note: Note, source: Place) -> Note:
    return Note("arrived", datetime.now(UTC), note.move, str(source), source.system, source.database)


def _has_arrived(alias: str, target: Settings, note: Note) -> bool | None:
    """Whether the new place is complete; None where it does not answer."""
    with suppress(psycopg.Error):
        return _is_end_of(note, _look(alias, target)[1])
    return None


def _is_end_of(note: Note, found: Note | None) -> bool:
    return found is not None and found.state == "arrived" and found.move == note.move


def _leads_to(note: Note, there: Place) -> bool:
    return (note.system, note.database) == (there.system, there.database)


def _comes_from(found: Note, source: Place) -> bool:
    return found.state in ("filling", "arrived", "abandoned") and _leads_to(found, source)


def _is_left(known: Note | None, found: Note) -> bool:
    """Whether an abort was killed while it compared: only then the new place says "moved", too."""
    begun = known is not None and known.state in ("moving", "moved")
    return begun and known is not None and found.state == "moved" and known.move == found.move
