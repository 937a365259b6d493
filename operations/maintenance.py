"""Closing a store to writes: while it is closed nobody writes there, whatever a process's settings say.

A trigger on every table refuses each statement that writes, before it has touched a row or drawn a number;
reads do not notice it. It is in the database, so it holds for processes that have not heard of anything, with
the old URL in their environment. docs/decisions/0011-maintenance.md
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Final, Literal

import msgspec
import psycopg
from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from operations.errors import OperatorError
from operations.inventory import Place, owned
from operations.stores import SCHEMAS, parameters
from projections.failures import MAINTENANCE

Connection = psycopg.Connection[Any]
State = Literal["maintenance", "moving", "moved", "filling", "arrived"]

NAME: Final = "balados_maintenance"
PREFIX: Final = "balados: "
# Writers queue behind a lock that waits, so it waits no longer than this, and is tried again. Now and then
# for longer than deadlock_timeout (1 s): only then PostgreSQL calls off an autovacuum that is in the way.
LOCK_TIMEOUT, LONG_LOCK_TIMEOUT, LONG_EVERY = "200ms", "1500ms", 5
PAUSE = 0.1
PATIENCE = 60.0

MESSAGES: dict[State, str] = {
    "maintenance": "The {alias} store is in maintenance: it takes no writes.",
    "moving": "The {alias} store is being moved to {other}: it takes no writes.",
    "moved": "The {alias} store was moved to {other}: here it takes no writes any more.",
    "filling": "The {alias} store is being filled here: it takes no writes yet.",
    "arrived": "The {alias} store is in maintenance: it takes no writes.",
}
REFUSE = sql.SQL("BEGIN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}; END")
FUNCTION = sql.SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}")
# neither this nor ALTER TABLE … DISABLE TRIGGER waits for whoever reads the table
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
SELECT a.pid, a.application_name, extract(epoch FROM clock_timestamp() - a.xact_start)::integer
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
   AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.granted
                  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')
                  AND l.relation IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n
                                         ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s)))
 ORDER BY a.xact_start LIMIT 5
"""


class Note(msgspec.Struct, frozen=True):
    """What is going on with a store at this place: kept as the comment on its first schema.

    ``other`` is where it goes to or came from.
    """

    state: State
    other: Place | None = None
    since: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))

    @property
    def is_away(self) -> bool:
        """Whether this is the old place of a move, be it done or not."""
        return self.state in ("moving", "moved")

    def names(self, place: Place) -> bool:
        """Whether ``place`` is the other place."""
        return self.other is not None and self.other.same_database(place)


class InMaintenance(OperatorError):
    """The store takes no writes now; the text says why, and what to do."""


class Blocked(OperatorError):
    """Transactions that write go on for too long; the text says whose."""


def read(connection: Connection, alias: str) -> Note | None:
    """The note of the store at this place, if there is one."""
    row = connection.execute(
        "SELECT obj_description(to_regnamespace(%s)::oid, 'pg_namespace')", [SCHEMAS[alias][0]]
    ).fetchone()
    text = row[0] if row else None
    if not isinstance(text, str) or not text.startswith(PREFIX + "{"):
        return None
    return msgspec.json.decode(text.removeprefix(PREFIX), type=Note)


def write(connection: Connection, alias: str, note: Note | None) -> None:
    text = sql.NULL if note is None else sql.Literal(PREFIX + msgspec.json.encode(note).decode())
    schema = sql.Identifier(SCHEMAS[alias][0])
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, text))


def enable(connection: Connection, alias: str, note: Note, *, patience: float = PATIENCE) -> None:
    """Refuse writes from now on: all that were at work have ended by then, and no later one begins.

    Repeatable. Raises ``Blocked`` when somebody writes in one transaction for longer than ``patience``
    seconds; then the store is as it was. ``connection`` is in autocommit, and owns the tables.
    """

    def close() -> None:
        tables = [sql.Identifier(*table) for table in owned(connection, alias)]
        if tables:
            # what writes waits from here on, and finds the triggers when it goes on
            names = sql.SQL(", ").join(tables)
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
        body = REFUSE.format(MAINTENANCE, message(alias, note)).as_string(connection)
        connection.execute(FUNCTION.format(_function(alias), sql.Literal(body)))
        write(connection, alias, note)
        for table in tables:
            connection.execute(
                TRIGGER.format(name=sql.Identifier(NAME), table=table, function=_function(alias))
            )

    with_locks(connection, alias, close, patience)


def disable(connection: Connection, alias: str, note: Note | None = None) -> None:
    """Let writes in again, whoever reads, and leave ``note``. Nothing where the store is open.

    What else the comment says stays: that a restore has not ended, say. The triggers stay, switched off,
    because dropping them would wait for readers. Raises ``Blocked``.
    """

    def open_() -> None:
        for table in connection.execute(ENABLED, [list(SCHEMAS[alias]), NAME]).fetchall():
            connection.execute(
                sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(
                    sql.Identifier(*table), sql.Identifier(NAME)
                )
            )
        if note is not None or read(connection, alias) is not None:
            write(connection, alias, note)

    with_locks(connection, alias, open_)


def check(alias: str) -> None:
    """Raise ``InMaintenance`` where a store is closed: for what the triggers do not see (DDL)."""
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        if status(connection, alias) == "open":
            return
        note = read(connection, alias)
    said = message(alias, note) if note else f"The {alias} store takes no writes."
    raise InMaintenance(f"{said}\nmanage.py maintenance status tells how to go on.")


def is_enabled(connection: Connection, alias: str) -> bool:
    """Whether there are triggers that refuse writes, whatever the note says or does not say."""
    return connection.execute(ENABLED, [list(SCHEMAS[alias]), NAME]).rowcount > 0


def status(connection: Connection, alias: str) -> Literal["open"] | State:
    """Whether the store takes writes, or why not."""
    note = read(connection, alias)
    if note is not None and note.state == "filling":
        return "filling"
    if not is_enabled(connection, alias):
        return "open"
    return "maintenance" if note is None or note.state == "arrived" else note.state


def origin(note: Note | None) -> Note | None:
    """What a store that is open goes on saying: that it came from elsewhere."""
    return note if note is not None and note.state == "arrived" else None


def message(alias: str, note: Note) -> str:
    """What a refused writer is told."""
    return MESSAGES[note.state].format(alias=alias, other=note.other)


def with_locks(
    connection: Connection, alias: str, work: Callable[[], None], patience: float = PATIENCE
) -> None:
    """Do ``work`` in a transaction, again and again until no lock keeps it waiting; others wait briefly.

    Raises ``Blocked`` after ``patience`` seconds: then nothing was changed.
    """
    deadline = time.monotonic() + patience
    for attempt in count(1):
        timeout = LOCK_TIMEOUT if attempt % LONG_EVERY else LONG_LOCK_TIMEOUT
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(timeout))
                work()
            return
        except (LockNotAvailable, DeadlockDetected):
            if time.monotonic() >= deadline:
                raise Blocked(_blockers(connection, alias)) from None
        time.sleep(PAUSE)


def _function(alias: str) -> sql.Identifier:
    return sql.Identifier(SCHEMAS[alias][0], NAME)


def _blockers(connection: Connection, alias: str) -> str:
    found = connection.execute(WRITERS, [list(SCHEMAS[alias])]).fetchall()
    who = "; ".join(f"{name or 'a session'} (pid {pid}) for {seconds} s" for pid, name, seconds in found)
    return (
        f"Transactions that write to the {alias} store do not end: {who or 'they come and go'}."
        " Nothing was changed: try again when they are done, or end them (pg_terminate_backend)."
    )
