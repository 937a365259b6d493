"""Moving one store into a database of its own while the other stores, and its readers, keep working.

The old place is closed to writes, and pg_dump copies it. The triggers that close it are copied too, so the
new place is also closed, until everything has been compared and one commit opens it. The old place opens
again only on demand (``maintenance off``): a process that still has the old URL is refused, instead of
recording what nobody would see. If the command is killed at any point, running it again continues or starts
over. docs/decisions/0011-maintenance.md
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

from eventstore.failpoints import failpoint
from operations import dump, inventory, maintenance, stores
from operations.errors import OperatorError, Refused
from operations.exclusive import Say, exclusive
from operations.inventory import TableSum
from operations.stores import (
    SCHEMAS,
    SHARED,
    Connection,
    Note,
    Place,
    Server,
    parameters,
    place_of,
    read_note,
    write_note,
)

# ends the pg_restore of a killed command, which keeps running without it
END_COPIES = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = %s
"""
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ %s
"""
SEQUENCES = """
SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences WHERE schemaname = ANY(%s)
"""
# the application names of the processes that use a store (balados/databases.py, projections/connect.py)
NAMES: Final = {
    "system": "^balados-system$",
    "events": "^balados-(events|listener)$",
    "projections": "^balados-(projections|projector.*|catch-up-.*|rebuild.*)$",
}
Confirm = Callable[[str], None]


class Differs(OperatorError):
    """The two places hold different data; the text says what differs."""


class Unfinished(OperatorError):
    """The old place stays closed, because it is unknown whether the new one is open. The text says what to
    do."""


class MoveResult(NamedTuple):
    """``tables``: the checksums of what was copied, by table; empty if an earlier try had copied everything.

    ``seconds``: for how long nobody could write.
    """

    source: Place
    target: Place
    tables: dict[str, TableSum]
    seconds: float


def move(alias: str, server: Server, *, say: Say = lambda text: None) -> MoveResult:
    """Move the store ``alias`` to ``server``, which must hold nothing; the database may be missing.

    Raises ``Refused``, ``maintenance.Blocked``, ``Differs``, ``dump.ToolFailed``, ``stores.UnsafeStore``,
    ``psycopg.Error``; then the old place is unchanged, and open. Raises ``Unfinished`` if that cannot be
    known.
    """
    with connected(parameters(alias)) as old, exclusive(old, alias, say):
        source, known = place_of(old), read_note(old, alias)
        _check_movable(old, alias, known)
        stores.refuse_unsafe_place(alias, server)
        if stores.create_at(alias, server, say):
            say(f"created: {server['dbname']}")
        with _target(alias, server, source, say) as (new, there):
            _check_target(new, alias, source, there, known)
            found = read_note(new, alias)
            if found is not None and found.state == "arrived":
                maintenance.enable(old, alias, Note("moved", there))
                return MoveResult(source, there, {}, 0.0)
            if known is not None and known.state == "moved":
                raise Refused(maintenance.message(alias, known))
            _prepare(new, alias, source)
            failpoint("prepared")
            maintenance.enable(old, alias, Note("moving", there))
            began = time.monotonic()
            try:
                say(f"Maintenance: nobody writes to the {alias} store from now on; it is read as before.")
                failpoint("closed")
                sums = _copy(alias, old, new, server, max(source.major, there.major))
            except BaseException:
                with suppress(psycopg.Error):
                    maintenance.disable(old, alias, maintenance.lasting(known))
                raise
            _open(alias, old, new, Note("arrived", source))
            failpoint("arrived")
        maintenance.enable(old, alias, Note("moved", there))
        return MoveResult(source, there, sums, time.monotonic() - began)


def drop_source(alias: str, old: Server, *, say: Say, confirm: Confirm) -> None:
    """Drop a store at ``old``, the place that it was moved from.

    By then the settings must name the new place. Raises ``Refused`` if anything speaks against it.
    """
    with connected(parameters(alias)) as new, exclusive(new, alias, say), connected(old) as source:
        here, there = place_of(new), place_of(source)
        if there.same_database(here):
            raise Refused(f"{here} is the place in use: let the setting point at the new one first.")
        found = read_note(new, alias)
        if found is None or found.state != "arrived" or not found.names(there):
            raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
        with exclusive(source, alias, say, wait=False):
            _drop_old(alias, source, there, here, say, confirm)
        failpoint("dropped")
        write_note(new, alias, None)


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    """Connect in autocommit, reading rows as ``inventory.table_sums`` needs."""
    named = {"application_name": "store_split", **server, "options": inventory.TEXT}
    with psycopg.connect(**named, autocommit=True) as connection:
        yield connection


@contextmanager
def _target(alias: str, server: Server, source: Place, say: Say) -> Iterator[tuple[Connection, Place]]:
    """Return a locked connection to the new place, and which place that is."""
    with connected(server) as new:
        there = place_of(new)
        if there.same_database(source):
            raise Refused(f"The {alias} store is there already: {there}.")
        with exclusive(new, alias, say):
            yield new, there


def _check_movable(old: Connection, alias: str, known: Note | None) -> None:
    stores.check_restored(old, alias)
    if maintenance.status(old, alias) in ("maintenance", "filling"):
        raise Refused(f"The {alias} store is closed: manage.py maintenance status tells why.")


def _check_target(new: Connection, alias: str, source: Place, there: Place, known: Note | None) -> None:
    """Raise ``Refused`` if the new place holds anything but what an earlier try of the same move left
    there."""
    if known is not None and known.is_away and not known.names(there):
        raise Refused(f"{maintenance.message(alias, known)} Go on with that one.")
    found = read_note(new, alias)
    ours = ("filling", "arrived") if known is not None and known.is_away else ("filling",)
    if found is not None and found.state in ours and found.names(source):
        return
    if used := inventory.relations(new)[:3]:
        raise Refused(
            f"The new place is in use: it holds {', '.join(map(str, used))}."
            " A store moves to a database of its own."
        )


def _prepare(new: Connection, alias: str, source: Place) -> None:
    """Make the schemas, empty and with a note that says what they are for."""
    new.execute(END_COPIES, [dump.APPLICATION])
    with new.transaction():
        _drop_store(new, alias)
        for schema in map(sql.Identifier, SCHEMAS[alias]):
            new.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        write_note(new, alias, Note("filling", source))


def _copy(alias: str, old: Connection, new: Connection, server: Server, version: int) -> dict[str, TableSum]:
    """Copy the store; in ``public``, only what is ours. Raises ``Differs`` unless both places then hold the
    same."""
    ours = inventory.owned(old, alias)
    others = [each for each in inventory.relations(old) if each.schema == SHARED and each not in ours]
    without = [each.identifier.as_string(old) for each in others]
    dump.copy(alias, parameters(alias), server, version, without)
    failpoint("copied")
    with ThreadPoolExecutor(2) as both:
        here, there = both.map(lambda each: inventory.table_sums(each, alias), (old, new))
    for name in sorted(here | there):
        if (one := here.get(name)) != (other := there.get(name)):
            rows = [f"{each.rows:,} rows" if each else "no table" for each in (one, other)]
            raise Differs(f"{name}: {rows[0]} at the old place, {rows[1]} at the new, and not the same.")
    was, now = (set(each.execute(SEQUENCES, [list(SCHEMAS[alias])]).fetchall()) for each in (old, new))
    if unlike := now - was:
        raise Differs(f"{', '.join(name for name, _ in unlike)}: not at the same number.")
    new.execute("ANALYZE")
    return here


def _open(alias: str, old: Connection, new: Connection, arrived: Note) -> None:
    """Open the new place. ``old`` has held the lock all the time, so nobody can have opened the old one."""
    try:
        if not maintenance.is_enabled(old, alias):
            raise Differs(f"The {alias} store was opened while it moved: run the same command again.")
        failpoint("opening")
        maintenance.disable(new, alias, arrived)
    except (psycopg.Error, maintenance.Blocked) as failure:
        raise Unfinished(
            f"The {alias} store stays closed to writes: it cannot be told whether the new place is open."
            " Run the same command again once both servers answer."
        ) from failure


def _drop_old(alias: str, source: Connection, there: Place, here: Place, say: Say, confirm: Confirm) -> None:
    going = inventory.row_counts(source, alias)
    if not going:
        say(f"Nothing of the {alias} store is in {there} any more.")
        return
    known = read_note(source, alias)
    if known is None or not known.is_away or not known.names(here):
        raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
    maintenance.enable(source, alias, Note("moved", here))
    _check_sessions(source, alias, there)
    say(f"This goes for good, from {there}:")
    for table, rows in going.items():
        say(f"  {table}: {rows:,} rows")
    say(f"The {alias} store in {here} stays.")
    confirm("DELETE")
    confirm(there.database)
    _check_sessions(source, alias, there)
    maintenance.with_locks(source, alias, partial(_drop_store, source, alias))


def _check_sessions(source: Connection, alias: str, there: Place) -> None:
    ((sessions,),) = source.execute(SESSIONS, [NAMES[alias]]).fetchall()
    if sessions:
        raise Refused(
            f"{sessions} sessions still use the {alias} store in {there}: restart every process (web,"
            " live, projector, worker) with the new setting first."
        )


def _drop_store(connection: Connection, alias: str) -> None:
    """Drop what is ours in a store, and its schemas; ``public`` stays, because it is not ours alone."""
    inventory.drop(connection, alias)
    for schema in map(sql.Identifier, inventory.own_schemas(alias)):
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
