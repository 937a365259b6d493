"""Closing a store to writes: while it is closed nobody can write there, whatever a process's settings say.

A trigger on every table refuses each writing statement before it touches a row or takes a number from a
sequence; reads are not affected. It is in the database, so it also holds for processes that know nothing of
it and have the old URL in their environment. docs/decisions/0011-maintenance.md
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, Literal

from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from operations.errors import OperatorError
from operations.inventory import owned_tables
from operations.stores import SCHEMAS, VARIABLES, Connection, Note, State, connect, read_note, write_note
from projections.failures import MAINTENANCE, suppress_outages

NAME: Final = "balados_maintenance"
# Writers queue behind a waiting lock request, so it waits no longer than this and is repeated. It is more
# than deadlock_timeout (1 s): only after that does PostgreSQL cancel an autovacuum in the way.
LOCK_TIMEOUT = "1500ms"
APPENDED_FIRST: Final = ("events.events", "events.snapshots")
PAUSE = 0.1
PATIENCE = 60.0

MESSAGES: dict[State, str] = {
    "maintenance": "The {alias} store is in maintenance: it takes no writes.",
    "moving": "The {alias} store is being moved to {other}: it takes no writes.",
    "moved": "The {alias} store was moved to {other}: here it takes no writes any more.",
    "filling": "The {alias} store is being filled here: it takes no writes yet.",
    "arrived": "The {alias} store is in maintenance: it takes no writes.",
    "restoring": "A restore of the {alias} store has not ended: run that store_restore again, to its end.",
}
# what an operator can do about it
REMEDIES: dict[State, str] = {
    "maintenance": "manage.py maintenance off --store {alias} opens it.",
    "moving": "store_split --store {alias} --to … again goes on; maintenance off --store {alias} goes back.",
    "moved": "Set {variable} to the new place. make run needs STORES_MOVED=true as well, for its next start.",
    "filling": "This is the new place of a move that is not done: see the old one.",
    "restoring": "manage.py maintenance off --store {alias} opens it.",
}
REFUSE = sql.SQL("BEGIN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}; END")
FUNCTION = sql.SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}")
# neither this nor ALTER TABLE … DISABLE TRIGGER waits for readers of the table
TRIGGER = sql.SQL("""
CREATE OR REPLACE TRIGGER {name} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()
""")
ENABLED = """
SELECT n.nspname, c.relname FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND t.tgname = %s AND t.tgenabled <> 'D'
"""
WRITERS = """
SELECT DISTINCT a.application_name, a.pid, a.xact_start::text
  FROM pg_stat_activity a JOIN pg_locks l USING (pid)
  JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND l.granted AND n.nspname = ANY(%s)
   AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')
 ORDER BY 3 LIMIT 5
"""


class InMaintenance(OperatorError):
    """The store takes no writes now; the text says why, and what to do."""


class Blocked(OperatorError):
    """Transactions that write take too long; the text says whose they are."""


def enable(connection: Connection, alias: str, note: Note, *, patience: float = PATIENCE) -> None:
    """Refuse writes from now on: on return all writes under way have ended, and no new one can begin.

    Repeatable. Raises ``Blocked`` when a transaction writes for longer than ``patience`` seconds; the store
    is then unchanged. ``connection`` must be in autocommit and own the tables.
    """
    function = sql.Identifier(SCHEMAS[alias][0], NAME)

    def close() -> None:
        # first the tables that an append locks first, so that the two cannot deadlock
        owned = sorted(owned_tables(connection, alias), key=lambda table: str(table) not in APPENDED_FIRST)
        tables = [table.identifier for table in owned]
        if tables:
            # from here on writers wait; when they continue they meet the triggers
            names = sql.SQL(", ").join(tables)
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
        body = REFUSE.format(MAINTENANCE, message(alias, note)).as_string(connection)
        connection.execute(FUNCTION.format(function, sql.Literal(body)))
        write_note(connection, alias, note)
        for table in tables:
            connection.execute(TRIGGER.format(name=sql.Identifier(NAME), table=table, function=function))

    with_locks(connection, alias, close, patience)


def disable(connection: Connection, alias: str, note: Note | None = None) -> None:
    """Let writes in again, without waiting for readers, and leave ``note``. Raises ``Blocked``.

    The triggers stay, disabled, because dropping them would wait for readers.
    """

    def open_() -> None:
        for table in connection.execute(ENABLED, [list(SCHEMAS[alias]), NAME]).fetchall():
            names = sql.Identifier(*table), sql.Identifier(NAME)
            connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(*names))
        write_note(connection, alias, note)

    with_locks(connection, alias, open_)


def check(alias: str) -> None:
    """Raise ``InMaintenance`` if a store is closed: for statements that the triggers do not see (DDL)."""
    with connect(alias) as connection:
        state, note = status(connection, alias), read_note(connection, alias)
    if state == "open":
        return
    reason = message(alias, note) if note else f"The {alias} store takes no writes."
    raise InMaintenance(f"{reason}\n{remedy(alias, state)}")


def is_enabled(connection: Connection, alias: str) -> bool:
    """Whether there are triggers that refuse writes, whatever the note says."""
    return bool(connection.execute(ENABLED, [list(SCHEMAS[alias]), NAME]).rowcount)


def status(connection: Connection, alias: str) -> Literal["open"] | State:
    """Return "open" if the store takes writes, otherwise the reason why not."""
    note = read_note(connection, alias)
    if note is not None and note.state == "filling":
        return "filling"
    if not is_enabled(connection, alias):
        return "open"
    return "maintenance" if note is None or note.state == "arrived" else note.state


def states(aliases: Iterable[str] = tuple(SCHEMAS)) -> dict[str, Literal["open"] | State]:
    """Return the ``status`` of those of these stores that answer."""
    found = {}
    for alias in aliases:
        # not from the pool, which tries for 5 s when the server is away
        with suppress_outages(), connect(alias) as connection:
            found[alias] = status(connection, alias)
    return found


def lasting(note: Note | None) -> Note | None:
    """Return the note that a store keeps when it is opened: that it came from elsewhere or is being
    restored."""
    return note if note is not None and note.state in ("arrived", "restoring") else None


def message(alias: str, note: Note) -> str:
    """Return the message that a refused writer gets."""
    return MESSAGES[note.state].format(alias=alias, other=note.other)


def remedy(alias: str, state: State) -> str:
    """Return what an operator can do about a store of this ``status``."""
    return REMEDIES[state].format(alias=alias, variable=VARIABLES[alias])


def with_locks(
    connection: Connection, alias: str, work: Callable[[], None], patience: float = PATIENCE
) -> None:
    """Do ``work`` in a transaction, repeated until it gets its locks at once, so that others wait only
    briefly.

    Raises ``Blocked`` after ``patience`` seconds; then nothing was changed.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                work()
            return
        except (LockNotAvailable, DeadlockDetected):
            if time.monotonic() >= deadline:
                raise Blocked(_blockers(connection, alias)) from None
        time.sleep(PAUSE)


def _blockers(connection: Connection, alias: str) -> str:
    found = connection.execute(WRITERS, [list(SCHEMAS[alias])]).fetchall()
    who = "; ".join(f"{name or 'a session'} (pid {pid}) since {began}" for name, pid, began in found)
    return (
        f"Transactions that write to the {alias} store do not end: {who or 'they come and go'}."
        " Nothing was changed: try again when they are done, or end them (pg_terminate_backend)."
    )
