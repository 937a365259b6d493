"""The fence around a store: while it is up nobody writes there, whatever his configuration says.

A trigger on every table of the store refuses each statement that writes, before it has touched a row or
drawn a number; reads do not notice it. It lives in the database, so it holds for processes that have not
heard of anything, with the old URL in their environment. docs/decisions/0011-fence.md
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import count
from typing import Any, Final, Literal

import msgspec
import psycopg
from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from operations.recreate import owned_tables
from operations.stores import SCHEMAS, parameters
from projections.failures import MAINTENANCE

Connection = psycopg.Connection[Any]
State = Literal["maintenance", "moving", "moved", "filling", "arrived", "abandoned"]

NAME: Final = "balados_fence"
PREFIX: Final = "balados: "
# Writers queue behind a lock that waits, so it waits no longer than this, and is tried again. Now and then
# for longer than deadlock_timeout (1 s): only then PostgreSQL calls off an autovacuum that is in the way.
LOCK_TIMEOUT, LONG_LOCK_TIMEOUT, LONG_EVERY = "200ms", "1500ms", 5
PAUSE = 0.1
PATIENCE = 60.0
# Triggers that do nothing any more are taken away when no reader is in the way, or left.
PATIENCE_TO_TIDY = 3.0

WORDS: dict[State, str] = {
    "maintenance": "The {alias} store is in maintenance: it takes no writes.",
    "moving": "The {alias} store is being moved to {other}: it takes no writes.",
    "moved": "The {alias} store was moved to {other}: here it takes no writes any more.",
    "filling": "The {alias} store is being filled here: it takes no writes yet.",
    "abandoned": "The {alias} store moved back to {other}: what is here is dropped, and takes no writes.",
}
# a name that is written in no other place lets the one who fills a store through
PASSES: Final = "balados.passes_fence"
FUNCTION = sql.SQL("""
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {body}
""")
REFUSE = """
BEGIN
    IF {open} THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = {code}, MESSAGE = {words};
END
"""
OPEN = "BEGIN RETURN NULL; END"
TRIGGER = sql.SQL("""
CREATE OR REPLACE TRIGGER {name} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()
""")
# what is written to them goes through the tables that they are parts of
PARTITIONS = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relispartition
"""
REFUSING = """
SELECT FROM pg_proc p JOIN pg_trigger t ON t.tgfoid = p.oid
 WHERE p.oid = to_regproc(%s) AND p.prosrc <> %s AND NOT t.tgisinternal LIMIT 1
"""
FENCED = """
SELECT n.nspname, c.relname FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND t.tgname = %s AND NOT t.tgisinternal AND NOT c.relispartition
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

    ``other`` says in words where it goes to or came from, ``system`` and ``database`` which that is
    (``inventory.Place``); ``move`` is the same in both places.
    """

    state: State
    since: datetime
    move: str = ""
    other: str = ""
    system: int = 0
    database: str = ""

    @property
    def fenced(self) -> bool:
        """Whether writes are refused."""
        return self.state != "arrived"


class InMaintenance(Exception):
    """The store takes no writes now; the text says why, and what to do."""


class Blocked(Exception):
    """Transactions that write go on for too long; the text says whose."""


def read(connection: Connection, alias: str) -> Note | None:
    """The note of the store at this place, if there is one."""
    row = connection.execute(
        "SELECT obj_description(to_regnamespace(%s)::oid, 'pg_namespace')", [SCHEMAS[alias][0]]
    ).fetchone()
    text = row[0] if row else None
    if not isinstance(text, str) or not text.startswith(PREFIX):
        return None
    try:
        return msgspec.json.decode(text.removeprefix(PREFIX), type=Note)
    except msgspec.MsgspecError:
        return None


def write(connection: Connection, alias: str, note: Note | None) -> None:
    text = sql.NULL if note is None else sql.Literal(PREFIX + msgspec.json.encode(note).decode())
    schema = sql.Identifier(SCHEMAS[alias][0])
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, text))


def up(connection: Connection, alias: str, note: Note, *, patience: float = PATIENCE) -> None:
    """Refuse writes from now on: all that were at work have ended by then, and no later one begins.

    Repeatable. Raises ``Blocked`` when somebody writes in one transaction for longer than ``patience``
    seconds; then the store is as it was. ``connection`` is in autocommit, and owns the tables.
    """
    patiently(connection, alias, lambda: _put_up(connection, alias, note), patience)


def down(connection: Connection, alias: str, note: Note | None = None) -> None:
    """Let writes in again, at once and whoever reads; leaves ``note``. Nothing where no fence is.

    What else the comment says stays: that a restore has not ended, say.
    """
    there = connection.execute("SELECT to_regproc(%s)", [f"{SCHEMAS[alias][0]}.{NAME}"]).fetchone() != (None,)
    with connection.transaction():
        if there:
            _make_function(connection, alias, OPEN)
        if note is not None or read(connection, alias) is not None:
            write(connection, alias, note)
    if not there:
        return
    # where long readers are in the way: what is left does nothing, and the next fence takes it over
    with suppress(Blocked):
        patiently(connection, alias, lambda: remove(connection, alias), PATIENCE_TO_TIDY)


def say(connection: Connection, alias: str, note: Note) -> None:
    """Let a fence that is up say something else."""
    with connection.transaction():
        _make_function(connection, alias, _refusal(connection, alias, note))
        write(connection, alias, note)


def remove(connection: Connection, alias: str) -> None:
    """Take the triggers and their function away, in the caller's transaction."""
    for schema, table in connection.execute(FENCED, [list(SCHEMAS[alias]), NAME]).fetchall():
        connection.execute(
            sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(NAME), sql.Identifier(schema, table))
        )
    connection.execute(sql.SQL("DROP FUNCTION {}()").format(_function(alias)))


def refuse(alias: str) -> None:
    """Raise ``InMaintenance`` where the store is behind a fence: for what the triggers do not see (DDL)."""
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        found = read(connection, alias)
    if found is not None and found.state in ("maintenance", "moving", "moved", "abandoned"):
        raise InMaintenance(f"{words(alias, found)}\nmanage.py maintenance status tells how to go on.")


def refuses(connection: Connection, alias: str) -> bool:
    """Whether there are triggers that refuse writes, whatever the note says or does not say."""
    function = f"{SCHEMAS[alias][0]}.{NAME}"
    return connection.execute(REFUSING, [function, OPEN]).rowcount > 0


def words(alias: str, note: Note) -> str:
    """What a refused writer is told."""
    return WORDS[note.state].format(alias=alias, other=note.other)


def tables_of(connection: Connection, alias: str) -> list[tuple[str, str]]:
    """Schema and name of every table of a store, in order; a table in partitions is one."""
    with connection.cursor() as cursor:
        found = [name for name, kind in owned_tables(cursor, alias).items() if kind in "rp"]
        parts = {name for (name,) in cursor.execute(PARTITIONS, [list(SCHEMAS[alias])])}
    return [(schema, table) for schema, _, table in (n.partition(".") for n in found if n not in parts)]


def _put_up(connection: Connection, alias: str, note: Note) -> None:
    tables = [sql.Identifier(*table) for table in tables_of(connection, alias)]
    if tables:
        # what writes waits from here on, and finds the triggers when it goes on
        connection.execute(
            sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.SQL(", ").join(tables))
        )
    _make_function(connection, alias, _refusal(connection, alias, note))
    for table in tables:
        connection.execute(TRIGGER.format(name=sql.Identifier(NAME), table=table, function=_function(alias)))
    write(connection, alias, note)


def _refusal(connection: Connection, alias: str, note: Note) -> str:
    passes = f"current_setting('{PASSES}', true) = 'on'" if note.state == "filling" else "false"
    code, said = (sql.Literal(text).as_string(connection) for text in (MAINTENANCE, words(alias, note)))
    return REFUSE.format(open=passes, code=code, words=said)


def _make_function(connection: Connection, alias: str, body: str) -> None:
    connection.execute(FUNCTION.format(function=_function(alias), body=sql.Literal(body)))


def _function(alias: str) -> sql.Identifier:
    return sql.Identifier(SCHEMAS[alias][0], NAME)


def patiently(connection: Connection, alias: str, work: Callable[[], None], patience: float) -> None:
    """Do ``work`` in a transaction as soon as nobody is in the way, without making others wait for long."""
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


def _blockers(connection: Connection, alias: str) -> str:
    found: Sequence[tuple[Any, ...]] = connection.execute(WRITERS, [list(SCHEMAS[alias])]).fetchall()
    who = "; ".join(f"{name or 'a session'} (pid {pid}) for {seconds} s" for pid, name, seconds in found)
    return (
        f"Transactions that write to the {alias} store do not end: {who or 'they come and go'}."
        " Nothing was changed: try again when they are done, or end them (pg_terminate_backend)."
    )
