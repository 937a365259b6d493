"""Moving one store into a database of its own while the others, and its readers, go on.

The old place is closed to writes, and pg_dump copies it. The closing triggers are copied along, so the new
place is closed, too, until everything was compared and one commit opens it. The old one never opens again
unless told to: a process that still has the old URL is refused, and records nothing that nobody would see.

Killed anywhere, the same command again goes on or starts over. ``abort`` goes back, until the new place is
open.
docs/decisions/0011-maintenance.md
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple

import psycopg
from django.db import connections
from django.db.utils import load_backend
from psycopg import sql

from eventstore.failpoints import failpoint
from operations import dump, inventory, maintenance, recreate, stores
from operations.errors import OperatorError, Refused
from operations.exclusive import exclusive
from operations.inventory import Connection, Place, Server, TableSum, place_of
from operations.maintenance import Note
from operations.stores import LASTING, SCHEMAS, parameters

# a killed command's pg_restore goes on without it
END_COPIES = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = %s
"""
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ %s
"""
# what the processes that use a store call themselves there (balados/databases.py, projections/connect.py)
NAMES: Final = {
    "system": "^balados-system$",
    "events": "^balados-(events|listener)$",
    "projections": "^balados-(projections|projector.*|catch-up-.*|rebuild.*)$",
}
NO_WAY_BACK = (
    "Only a move whose new place is not open yet can be aborted. To go back later, let the setting point at"
    " the new place, delete the old one (--drop-source), and move the store there again."
)
Say = Callable[[str], None]
Confirm = Callable[[str], None]
Settings = Mapping[str, Any]  # as balados.databases.store gives them


class Differs(OperatorError):
    """The two places do not hold the same; the text says in what."""


class Unfinished(OperatorError):
    """The old place stays closed: it is not known whether the new one is open. The text says what to do."""


class MoveResult(NamedTuple):
    """``tables``: what was copied, by table; empty where an earlier try had copied.

    ``seconds``: for how long nobody could write.
    """

    source: Place
    target: Place
    tables: dict[str, TableSum]
    seconds: float


def move(alias: str, target: Settings, *, say: Say = lambda text: None) -> MoveResult:
    """Move the store ``alias`` to ``target`` (``balados.databases.store``), which must hold nothing.

    Raises ``Refused``, ``maintenance.Blocked``, ``Differs``, ``dump.ToolFailed``, ``stores.UnsafeStore``,
    ``psycopg.Error``: then the old place is as it was, and open. ``Unfinished`` where that cannot be known.
    """
    with connected(parameters(alias)) as old, exclusive(old, alias, say):
        source, known = place_of(parameters(alias)), maintenance.read(old, alias)
        server = server_of(alias, target)
        there = place_at(server)
        _check_movable(old, alias, source, there, known)
        with _new_place(alias, target, server, source, known, say) as new:
            found = maintenance.read(new, alias)
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
                    maintenance.disable(old, alias, maintenance.origin(known))
                raise
            _open(alias, old, new, Note("arrived", source))
            failpoint("arrived")
        maintenance.enable(old, alias, Note("moved", there))
        return MoveResult(source, there, sums, time.monotonic() - began)


def abort(alias: str, target: Settings, *, say: Say, confirm: Confirm) -> None:
    """Go back while the new place is not open yet: drop what was made at ``target``, and open the old place.

    Raises ``Refused`` afterwards: what was written at the new place would be lost.
    """
    with connected(parameters(alias)) as old, exclusive(old, alias, say):
        source, known = place_of(parameters(alias)), maintenance.read(old, alias)
        server = server_of(alias, target)
        there = place_at(server)
        if known is not None and (known.state == "moved" or (known.is_away and not known.names(there))):
            raise Refused(f"{maintenance.message(alias, known)} {NO_WAY_BACK}")
        say(f"This opens the {alias} store in {source} again, and deletes what was made of it in {there}.")
        confirm("DELETE")
        if exists(server):
            with connected(server) as new, exclusive(new, alias, say):
                _drop_copy(new, alias, source)
        failpoint("taken_back")
        if known is not None and known.is_away:
            maintenance.disable(old, alias)


def drop_source(alias: str, old: Server, *, say: Say, confirm: Confirm) -> None:
    """Drop the store at the place that it was moved from, ``old`` (``stores.parameters``).

    The settings point at the new place by now. Raises ``Refused`` while anything speaks against it.
    """
    with connected(parameters(alias)) as new, exclusive(new, alias, say):
        here, found = place_of(parameters(alias)), maintenance.read(new, alias)
        there = place_at(old)
        if there.same_database(here):
            raise Refused(f"{here} is the place in use: let the setting point at the new one first.")
        if found is None or found.state != "arrived" or not found.names(there):
            raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
        if exists(old):
            with connected(old) as source, exclusive(source, alias, say, wait=False):
                _drop_old(alias, source, there, here, say, confirm)
        failpoint("dropped")
        maintenance.write(new, alias, None)


# Places --------------------------------------------------------------------------------------


@contextmanager
def override_connection(alias: str, settings: Settings) -> Iterator[None]:
    """In this thread ``alias`` is the store at ``settings`` (``balados.databases.store``), without a pool."""
    usual = connections[alias]
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    wanted = {**usual.settings_dict, **settings, "OPTIONS": options}
    connections[alias] = load_backend(wanted["ENGINE"]).DatabaseWrapper(wanted, alias)
    try:
        yield
    finally:
        connections[alias].close()
        connections[alias] = usual


def server_of(alias: str, settings: Settings) -> Server:
    """What ``stores.parameters`` would give if the store were at ``settings``."""
    with override_connection(alias, settings):
        return parameters(alias)


def place_at(server: Server) -> Place:
    """Where this database is, which need not exist yet."""
    if exists(server):
        return place_of(server)
    return place_of({**server, "dbname": "postgres"})._replace(database=str(server["dbname"]))


def exists(server: Server) -> bool:
    try:
        psycopg.connect(**server).close()
    except psycopg.OperationalError:
        if not stores.is_missing(server):
            raise
        return False
    return True


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    name = {"application_name": "store_split"}
    with psycopg.connect(**{**name, **server}, options=inventory.TEXT, autocommit=True) as connection:
        yield connection


# Each step ---------------------------------------------------------------------------------


def _check_movable(old: Connection, alias: str, source: Place, there: Place, known: Note | None) -> None:
    if there.same_database(source):
        raise Refused(f"The {alias} store is there already: {there}.")
    if stores.being_restored(old, alias):
        raise Refused(f"A restore of the {alias} store has not ended: run that store_restore again.")
    if known is not None and known.is_away and not known.names(there):
        raise Refused(f"{maintenance.message(alias, known)} Go on with that one, or end it with --abort.")
    if maintenance.status(old, alias) in ("maintenance", "filling"):
        raise Refused(f"The {alias} store is closed: manage.py maintenance status tells why.")


@contextmanager
def _new_place(
    alias: str, target: Settings, server: Server, source: Place, known: Note | None, say: Say
) -> Iterator[Connection]:
    """A connection to the new place, where the database is made if need be; nobody else is at work there."""
    if exists(server):
        with connected(server) as connection:
            _check_unused(connection, alias, source, known)
    with override_connection(alias, target):
        for name in stores.create([alias], say):
            say(f"created: {name}")
        stores.refuse_unsafe({alias} & set(LASTING))
    with connected(server) as connection, exclusive(connection, alias, say):
        _check_unused(connection, alias, source, known)
        yield connection


def _check_unused(new: Connection, alias: str, source: Place, known: Note | None) -> None:
    """What an earlier try of the same move left there is ours. Raises ``Refused`` for anything else."""
    found = maintenance.read(new, alias)
    ours = ("filling", "arrived") if known is not None and known.is_away else ("filling",)
    if found is not None and found.state in ours and found.names(source):
        return
    if used := [f"{schema}.{name}" for schema, name in inventory.others(new)[:3]]:
        raise Refused(
            f"The new place is in use: it holds {', '.join(used)}. A store moves to a database of its own."
        )


def _prepare(new: Connection, alias: str, source: Place) -> None:
    """Empty schemas that say what they are for."""
    new.execute(END_COPIES, [dump.APPLICATION])
    with new.transaction():
        _drop_store(new, alias)
        for schema in SCHEMAS[alias]:
            new.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        maintenance.write(new, alias, Note("filling", source))


def _copy(alias: str, old: Connection, new: Connection, server: Server, version: int) -> dict[str, TableSum]:
    """Of ``public`` only what is ours. Raises ``Differs`` unless both places then hold the same."""
    shared = [table for table in inventory.others(old, alias) if table[0] == recreate.SHARED]
    without = [sql.Identifier(*table).as_string(old) for table in shared]
    dump.copy(alias, parameters(alias), server, version, without)
    failpoint("copied")
    with ThreadPoolExecutor(2) as both:
        here, there = both.map(lambda each: inventory.table_sums(each, alias), (old, new))
    for name in sorted(here | there):
        if (one := here.get(name)) != (other := there.get(name)):
            rows = [f"{each.rows:,} rows" if each else "no table" for each in (one, other)]
            raise Differs(f"{name}: {rows[0]} at the old place, {rows[1]} at the new, and not the same.")
    numbers = inventory.sequences(old, alias)
    if unlike := [name for name, at in inventory.sequences(new, alias).items() if numbers.get(name) != at]:
        raise Differs(f"{', '.join(unlike)}: not at the same number.")
    new.execute("ANALYZE")
    return here


def _open(alias: str, old: Connection, new: Connection, arrived: Note) -> None:
    """Open the new place. ``old`` has held the lock all the time, so nobody has opened the old one."""
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


def _drop_copy(new: Connection, alias: str, source: Place) -> None:
    """Drop what a move has left at its new place. Raises ``Refused`` where it was not still being filled."""
    new.execute(END_COPIES, [dump.APPLICATION])
    note = maintenance.read(new, alias)
    if note is not None and note.state == "filling" and note.names(source):
        maintenance.with_locks(new, alias, partial(_drop_store, new, alias))
    elif inventory.owned(new, alias):
        raise Refused(f"The new place is open: what was written there would be lost. {NO_WAY_BACK}")


def _drop_old(alias: str, source: Connection, there: Place, here: Place, say: Say, confirm: Confirm) -> None:
    going = {".".join(table) for table in inventory.owned(source, alias)}
    if not going:
        say(f"Nothing of the {alias} store is in {there} any more.")
        return
    known = maintenance.read(source, alias)
    if known is None or not known.is_away or not known.names(here):
        raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
    maintenance.enable(source, alias, Note("moved", here))
    _check_sessions(source, alias, there)
    say(f"This goes for good, from {there}:")
    for table in inventory.tables(source, alias):
        if table.name in going:
            say(f"  {table.name}: {table.rows:,} rows, {table.size / 2**20:,.1f} MiB")
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
            " projector, worker, beat) with the new setting first."
        )


def _drop_store(connection: Connection, alias: str) -> None:
    """Drop what is ours of a store, and its schemas; ``public`` stays, which is not ours alone."""
    with connection.cursor() as cursor:
        recreate.drop(cursor, alias)
        for schema in SCHEMAS[alias]:
            if schema != recreate.SHARED:
                cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
