"""Operations on the log that only operators perform: start an epoch with new numbers after a restore or a
reset.

Afterwards, positions and cursors that devices remember never refer to other events than before.
"""

import secrets
from itertools import count
from uuid import UUID

from psycopg import sql

from eventstore import log
from eventstore.appending import VERSION_TAKEN
from eventstore.database import SQL, Connection, execute, fetch_value, raw_connection

# The gap that a restore or a reset leaves in the numbers: more than a server can have recorded since the
# backup (at 1,000 events a second in 11 days), so that no position or stream number is used twice.
RESTORE_GAP = 1_000_000_000
# How many positions a partitioned log has room for after a restore: as many as each partition of docs/sql.
PARTITION_SIZE = 100_000_000

# as in docs/sql/next_partition.sql
ADD_PARTITION = """
CREATE TABLE {table} PARTITION OF events.events FOR VALUES FROM ({bound}) TO ({to});
ALTER TABLE {table} ADD CONSTRAINT {versions} UNIQUE (stream, version)"""
LAST_POSITION = """
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('events.events', 'position')::regclass), 0)"""
# a reset or a restore records one event of this type, which concerns no listener
USER_EVENTS = "SELECT count(*) FROM events.events WHERE type <> 'PublicHistoryTrimmed'"


def begin_epoch(known: int) -> int:
    """Start a new epoch after a restore or a reset: continue the numbers far beyond the log and beyond
    ``known``, the highest position that anybody is known to remember, and forget what projectors have
    acknowledged. Return the next position.

    A partitioned log gets a partition that reaches far enough. Nobody else may write meanwhile.
    """
    values = {"known": known, "gap": RESTORE_GAP, "epoch": secrets.token_hex(4)}
    with raw_connection().transaction():
        execute("DELETE FROM events.projection_versions")
        following = int(fetch_value(SQL["begin_epoch"], values))
        _add_partition(following + PARTITION_SIZE)
    log.clear_caches()
    return following


def count_user_events(connection: Connection) -> int:
    """Return how many events concern a user. ``connection``: to a store that has the log. Raises
    ``psycopg.Error``."""
    return int(connection.execute(USER_EVENTS).fetchall()[0][0])


def count_events_of(user_id: UUID) -> int:
    """Return how many events of a user the log has."""
    stream = log.known_stream(user_id)
    return int(fetch_value("SELECT count(*) FROM events.events WHERE stream = %s", [stream]))


def last_position() -> int:
    """Return the last position that was assigned; 0 if there is none, or if the log is lost."""
    return int(fetch_value(LAST_POSITION, [])) if _exists("events.events") else 0


def _exists(relation: str) -> bool:
    return bool(fetch_value("SELECT to_regclass(%s) IS NOT NULL", [relation]))


def _add_partition(upto: int) -> None:
    """Add a partition so that every position below ``upto`` has one, where the log is partitioned."""
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
