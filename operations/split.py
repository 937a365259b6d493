"""Moving one store into a database of its own while the others, and its readers, go on.

The old place is closed to writes, and pg_dump copies it. The closing triggers are copied along, so the new
place is closed, too, until everything was compared and one commit opens it. The old one never opens again
unless told to: a process that still has the old URL is refused, and records nothing that nobody would see.

Killed anywhere, the same command again goes on or starts over; ``abort`` goes back.
docs/decisions/0011-maintenance.md
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import psycopg
from psycopg import sql

from eventstore.failpoints import failpoint
from operations import dump, inventory, maintenance, places, stores
from operations.errors import OperatorError
from operations.exclusive import exclusive
from operations.inventory import Place, TableSum, place_of
from operations.maintenance import Connection, Note
from operations.places import Differs, Server, Settings, connected, override_connection
from operations.stores import LASTING, SCHEMAS, parameters

# a killed command's pg_restore goes on without it
END_COPIES = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = %s
"""
Say = Callable[[str], None]
Confirm = Callable[[str], None]


class Refused(OperatorError):
    """This cannot be done; the text says why. Nothing was changed."""


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
        there, server = places.place(alias, target)
        _check_movable(old, alias, source, there, known)
        with _new_place(alias, target, server, there, source, known, say) as new:
            found = maintenance.read(new, alias)
            if known is not None and found is not None and _is_end_of(known, found):
                maintenance.disable(new, alias, found)  # closed, where an abort was killed
                maintenance.set_status(old, alias, _changed(known, "moved"))
                return MoveResult(source, there, {}, 0.0)
            if known is not None and known.state == "moved":
                raise Refused(f"{maintenance.message(alias, known)} To go back: --abort.")
            note = Note("moving", datetime.now(UTC), str(uuid4()), str(there), there.system, there.database)
            _prepare(new, alias, note, source)
            failpoint("prepared")
            maintenance.enable(old, alias, note)
            began = time.monotonic()
            try:
                say(f"Maintenance: nobody writes to the {alias} store from now on; it is read as before.")
                failpoint("closed")
                sums = _copy(alias, old, new, server, max(source.major, there.major))
            except BaseException:
                with suppress(psycopg.Error):
                    maintenance.disable(old, alias, _origin(known))
                raise
            _open(alias, old, new, _other_side(note, "arrived", source))
            failpoint("arrived")
        maintenance.enable(old, alias, _changed(note, "moved"))
        return MoveResult(source, there, sums, time.monotonic() - began)


def abort(alias: str, target: Settings, *, say: Say, confirm: Confirm) -> None:
    """Go back: drop what was made at ``target`` and open the old place again.

    Raises ``Refused`` where the new place has been written to since: that would be lost.
    """
    with connected(parameters(alias)) as old, exclusive(old, alias, say):
        source, known = place_of(parameters(alias)), maintenance.read(old, alias)
        there, server = places.place(alias, target)
        if there.same_database(source):
            raise Refused(
                f"The setting points at {there} already: to go back, let it point at the old place."
            )
        begun = known is not None and known.state in ("moving", "moved")
        if known is not None and begun and not known.names(there):
            raise Refused(f"The {alias} store was moved to {known.other}, and not to {there}.")
        found = places.note(server, alias)
        ours = found is not None and found.state in ("filling", "arrived") and found.names(source)
        if not begun and not ours:
            raise Refused(f"Nobody has begun to move the {alias} store from {source} to {there}.")
        say(f"This opens the {alias} store in {source} again, and deletes what was made of it in {there}.")
        confirm("DELETE")
        if places.exists(server):
            with connected(server) as new, exclusive(new, alias, say):
                _take_back(alias, old, new, found or known)
        failpoint("taken_back")
        maintenance.disable(old, alias)


def drop_source(alias: str, old: Server, *, say: Say, confirm: Confirm) -> None:
    """Drop the store at the place that it was moved from, ``old`` (``stores.parameters``).

    The settings point at the new place by now. Raises ``Refused`` while anything speaks against it.
    """
    with connected(parameters(alias)) as new, exclusive(new, alias, say):
        here, found = place_of(parameters(alias)), maintenance.read(new, alias)
        there = places.place_at(old)
        if there.same_database(here):
            raise Refused(f"{here} is the place in use: let the setting point at the new one first.")
        if found is None or found.state != "arrived" or not found.names(there):
            raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
        if not places.exists(old) or places.is_empty(old, alias):
            say(f"Nothing of the {alias} store is in {there} any more.")
        else:
            with connected(old) as source, exclusive(source, alias, say, wait=False):
                _drop_old(alias, source, there, here, found, say, confirm)
            failpoint("dropped")
        maintenance.write(new, alias, None)


def old_place(alias: str) -> Server | None:
    """Where a moved store came from, if another store still lives in that database."""
    found = places.note(parameters(alias), alias)
    if found is None or found.state != "arrived":
        return None
    others = (parameters(other) for other in SCHEMAS if other != alias)
    return next((server for server in others if found.names(place_of(server))), None)


# Each step ---------------------------------------------------------------------------------


def _check_movable(old: Connection, alias: str, source: Place, there: Place, known: Note | None) -> None:
    if there.same_database(source):
        raise Refused(f"The {alias} store is there already: {there}.")
    if stores.being_restored(old, alias):
        raise Refused(f"A restore of the {alias} store has not ended: run that store_restore again.")
    status = maintenance.status(old, alias)
    if status in ("moving", "moved") and known is not None and not known.names(there):
        raise Refused(f"The {alias} store is on its way to {known.other}: repeat that, or go back (--abort).")
    if status in ("maintenance", "filling"):
        raise Refused(f"The {alias} store is closed: manage.py maintenance status tells why.")


@contextmanager
def _new_place(
    alias: str, target: Settings, server: Server, there: Place, source: Place, known: Note | None, say: Say
) -> Iterator[Connection]:
    """A connection to the new place, where the database is made if need be; nobody else is at work there."""
    if places.exists(server):
        with connected(server) as connection:
            _check_unused(connection, alias, there, source, known)
    with override_connection(alias, target):
        for name in stores.create([alias], say):
            say(f"created: {name}")
        stores.refuse_unsafe({alias} & set(LASTING))
    with connected(server) as connection, exclusive(connection, alias, say):
        _check_unused(connection, alias, there, source, known)
        yield connection


def _check_unused(
    connection: Connection, alias: str, there: Place, source: Place, known: Note | None
) -> None:
    found = maintenance.read(connection, alias)
    filling = found is not None and found.state == "filling" and found.names(source)
    if filling or (known is not None and found is not None and _is_end_of(known, found)):
        return
    if used := [f"{schema}.{name}" for schema, name in places.relations(connection, [])[:3]]:
        raise Refused(
            f"{there} is in use: it holds {', '.join(used)}. A store moves to a database of its own."
        )


def _prepare(new: Connection, alias: str, note: Note, source: Place) -> None:
    """Empty schemas that say what they are for."""
    new.execute(END_COPIES, [dump.APPLICATION])
    with new.transaction():
        places.drop_store(new, alias)
        for schema in SCHEMAS[alias]:
            new.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        maintenance.write(new, alias, _other_side(note, "filling", source))


def _copy(alias: str, old: Connection, new: Connection, server: Server, version: int) -> dict[str, TableSum]:
    dump.copy(alias, parameters(alias), server, version, places.not_ours(old, alias))
    failpoint("copied")
    sums = places.compare(alias, old, new)
    new.execute("ANALYZE")
    return sums


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
            " Run the same command again once both servers answer, or go back with --abort."
        ) from failure


def _take_back(alias: str, old: Connection, new: Connection, note: Note | None) -> None:
    """Drop the new place, unless it holds what the old one does not: then it stays in use."""
    new.execute(END_COPIES, [dump.APPLICATION])
    found = maintenance.read(new, alias)
    if inventory.owned(new, alias) and (found is None or found.state != "filling"):
        assert note is not None
        maintenance.enable(new, alias, found or _changed(note, "arrived"))
        failpoint("leaving")
        try:
            places.compare(alias, old, new)
        except BaseException as failure:
            with suppress(psycopg.Error):
                maintenance.disable(new, alias, found)
            if isinstance(failure, Differs):
                raise Refused(
                    f"The new place has been written to, which would be lost. {failure}"
                    " Move the store back with store_split, from there to a third place."
                ) from None
            raise
    failpoint("compared")
    maintenance.with_locks(new, alias, partial(places.drop_store, new, alias))


def _drop_old(
    alias: str, source: Connection, there: Place, here: Place, found: Note, say: Say, confirm: Confirm
) -> None:
    known = maintenance.read(source, alias)
    if known is None or known.move != found.move:
        raise Refused(f"What is in {there} was not moved to {here}: nothing is dropped.")
    maintenance.enable(source, alias, _changed(known, "moved"))
    _check_sessions(source, alias, there)
    say(f"This goes for good, from {there}:")
    going = {".".join(table) for table in inventory.owned(source, alias)}
    for table in inventory.tables(source, alias):
        if table.name in going:
            say(f"  {table.name}: {table.rows:,} rows, {table.size / 2**20:,.1f} MiB")
    say(f"The {alias} store in {here} stays.")
    confirm("DELETE")
    confirm(there.database)
    _check_sessions(source, alias, there)
    maintenance.with_locks(source, alias, partial(places.drop_store, source, alias))


def _check_sessions(source: Connection, alias: str, there: Place) -> None:
    if sessions := places.sessions(source, alias):
        raise Refused(
            f"{sessions} sessions still use the {alias} store in {there}: restart every process (web,"
            " projector, worker, beat) with the new setting first."
        )


def _changed(note: Note, state: maintenance.State) -> Note:
    return Note(state, note.since, note.move, note.other, note.system, note.database)


def _origin(known: Note | None) -> Note | None:
    """What a store that is open again goes on saying: where it came from."""
    return known if known is not None and known.state == "arrived" else None


def _is_end_of(known: Note, found: Note) -> bool:
    """Whether the new place, which says ``found``, is what the old one, which says ``known``, moved to."""
    return found.state == "arrived" and known.state in ("moving", "moved") and found.move == known.move


def _other_side(note: Note, state: maintenance.State, source: Place) -> Note:
    return Note(state, datetime.now(UTC), note.move, str(source), source.system, source.database)
