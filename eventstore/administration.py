"""What operators alone do to the log: reset it, and number on after a restore.

Positions and versions that processes, projectors and devices remember never mean something else afterwards.
"""

import secrets
from collections.abc import Callable
from itertools import count

from django.db import transaction
from psycopg import sql

from eventstore import codec, log
from eventstore.database import ALIAS, SQL, Connection, execute, fetch_value, raw_connection
from eventstore.domain.checkpoint import PublicHistoryTrimmed, UserCheckpoint
from eventstore.domain.messages import INSTANCE
from eventstore.log import VERSION_TAKEN

# What a restore leaves out: more than a server can have recorded since the backup (at 1,000 a second in 11
# days), so that no position and no stream's number means two things.
RESTORE_GAP = 1_000_000_000
# How many positions have a place after a restore in a partitioned log: as in each partition of docs/sql.
PARTITION_SIZE = 100_000_000
# How long a reset waits for readers that hold the tables it drops.
LOCK_TIMEOUT = "10s"

# as docs/sql/next_partition.sql
ADD_PARTITION = """
CREATE TABLE {table} PARTITION OF events.events FOR VALUES FROM ({bound}) TO ({to});
ALTER TABLE {table} ADD CONSTRAINT {versions} UNIQUE (stream, version)"""
# a version that no append can expect, as a tombstone has it: whoever still knows the stream is refused
CLOSE_STREAMS = """
INSERT INTO events.snapshots (stream, version, position, schema, state)
SELECT id, 2147483647, 0, 0, '' FROM ended_streams
 WHERE NOT %s::boolean OR name IS NULL OR tombstone IS NOT NULL"""
KEEP_STREAMS = """
INSERT INTO events.streams (id, name, created_at, tombstone) OVERRIDING SYSTEM VALUE
SELECT id, name, created_at, tombstone FROM ended_streams WHERE name IS NOT NULL"""
SET_SEQUENCES = """
SELECT setval('events.events_position_seq', greatest(%(position)s::bigint, 1), %(position)s::bigint > 0),
       setval('events.streams_id_seq', greatest(%(stream)s::bigint, 1), %(stream)s::bigint > 0)"""
LAST_NUMBER = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, %s)::regclass), 0)"


def begin_epoch(known: int) -> int:
    """After a restore: number on far beyond ``known``, the highest position that anybody is known to
    remember, and beyond the log; forget what projectors have acknowledged. Returns the next position.

    A partitioned log gets a partition that reaches far enough. Nobody else may write meanwhile.
    """
    values = {"known": known, "gap": RESTORE_GAP, "epoch": secrets.token_hex(4)}
    with raw_connection().transaction():
        execute("DELETE FROM events.projection_versions")
        following = int(fetch_value(SQL["begin_epoch"], values))
        _add_partition(following + PARTITION_SIZE)
    log.clear_caches()
    return following


def count_user_rows(connection: Connection) -> dict[str, int]:
    """How many rows of these tables ("schema.table") say something of a user, unlike what a reset leaves.

    ``connection``: to a store that has them. Raises ``psycopg.Error``.
    """
    events, snapshots = connection.execute(SQL["count_user_rows"]).fetchall()[0]
    return {"events.events": events, "events.snapshots": snapshots}


def reset_log(recreate: Callable[[], None], known: int, *, keep: bool) -> None:
    """Let ``recreate`` drop and make all tables of the store, in one transaction.

    Processes and devices that knew the old log are not deceived: positions, above ``known`` too, and the
    numbers of streams go on. With ``keep`` the same listeners have the same streams, each of which begins
    with an empty checkpoint; else every earlier stream refuses what comes late.
    Raises ``psycopg.errors.LockNotAvailable``.
    """
    with transaction.atomic(using=ALIAS):
        execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        whole = all(_exists(f"events.{name}") for name in ("streams", "events", "snapshots"))
        if whole:
            execute("LOCK TABLE events.events, events.streams, events.snapshots")
            execute(SQL["end_log"])
        if restored := _exists("events.restores"):
            execute("CREATE TEMP TABLE ended_restores ON COMMIT DROP AS TABLE events.restores")
        position, stream = _last_number("events.events", "position"), _last_number("events.streams", "id")
        recreate()
        if restored:
            # the log's epoch stays: versions go on, so cursors mean what they meant
            execute("INSERT INTO events.restores TABLE ended_restores")
        execute(SET_SEQUENCES, {"position": max(position, known), "stream": stream})
        if whole:
            _begin_streams(keep)
        if not (keep and whole):
            log.clear_caches()
        if keep:
            # all that the public saw is too old; and the head is above every position that was given out
            log.append_to_instance([PublicHistoryTrimmed(before=log.database_time())])
    log.notify()


def _begin_streams(keep: bool) -> None:
    if keep:
        execute(KEEP_STREAMS)
    execute(CLOSE_STREAMS, [keep])
    if keep:
        now = log.database_time()
        name, schema = codec.name_of(UserCheckpoint(user_id=INSTANCE, taken_at=now))
        execute(SQL["begin_streams"], {"type": name, "schema": schema, "at": now})


def _exists(relation: str) -> bool:
    return bool(fetch_value("SELECT to_regclass(%s) IS NOT NULL", [relation]))


def _last_number(table: str, column: str) -> int:
    """The last number that an identity column has given out; 0 for none, also where its table is lost."""
    return int(fetch_value(LAST_NUMBER, [table, column])) if _exists(table) else 0


def _add_partition(upto: int) -> None:
    """Let every position below ``upto`` have a partition, where the log is partitioned."""
    bound = fetch_value(SQL["partition_bound"])
    if bound is None or bound >= upto:
        return
    number = next(
        number
        for number in count(1)
        if not _exists(f"events.events_p{number}") and not _exists(f"events.{VERSION_TAKEN}_p{number}")
    )
    raw_connection().execute(
        sql.SQL(ADD_PARTITION).format(
            table=sql.Identifier("events", f"events_p{number}"),
            versions=sql.Identifier(f"{VERSION_TAKEN}_p{number}"),
            bound=sql.Literal(bound),
            to=sql.Literal(upto),
        )
    )
