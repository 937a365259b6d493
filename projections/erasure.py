"""Erases what is known of a user from the events store and the read models: for good, and resumable.

The tombstone comes first, then the events, then the rows. A batch that a projector had read before is of an
older epoch, and so is read again: nothing writes the rows back.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from psycopg import Cursor, sql

from eventstore import erasure, log
from eventstore.domain.checkpoint import PublicHistoryTrimmed
from eventstore.failpoints import failpoint
from eventstore.follower import settled_head
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.projectors.shape import identifier
from projections.shadows import USES, shadow_of

# events per transaction
CHUNK = 5_000
# waits for whoever writes rows now, and holds up whoever wants to; readers go on
LOCK = 'LOCK TABLE "users"."projector_positions" IN EXCLUSIVE MODE'
NEXT_EPOCH = 'UPDATE "users"."projector_positions" SET epoch = epoch + 1'
LETTERS = 'DELETE FROM "users"."dead_letters" WHERE stream = ANY(%s)'
# the live tables, and those that a rebuild or a verification fills
NAMED: tuple[Callable[[str], str], ...] = (str, *(partial(shadow_of, use=use) for use in USES))
ACTIVITY, PUBLIC_EVENTS, DUE = "users.activity", "public.public_events", "users.popularity_due"
HAS_USERS = """
SELECT count(*) FROM pg_attribute
 WHERE attrelid = to_regclass(%s) AND attname = 'user_id' AND attnum > 0 AND NOT attisdropped
"""
ROWS = sql.SQL("DELETE FROM {table} WHERE user_id = %s")
# what others see of him, also where it does not say that it is his
PUBLIC = sql.SQL("""
WITH gone AS (
    DELETE FROM {public} WHERE user_id = %(user)s
        OR id IN (SELECT public_id FROM {activity} WHERE user_id = %(user)s AND public_id IS NOT NULL)
    RETURNING feed_key, item_key
),
counted AS (INSERT INTO {due} (feed_key, item_key) SELECT DISTINCT feed_key, item_key FROM gone)
SELECT count(*) FROM gone
""")


def erase_history(user_id: UUID) -> dict[str, int]:
    """Erase everything of a user in the two stores; returns how many events and rows, by kind.

    May be repeated: it then finds nothing, or what a killed run left.
    """
    counts: Counter[str] = Counter()
    streams = erasure.tombstone_stream(user_id)
    failpoint("tombstoned")
    # an append that began before the tombstone may still commit
    settled_head()
    for stream in streams:
        for deleted in erasure.purge_stream(stream, CHUNK):
            counts["events"] += deleted
            failpoint("purging")
    failpoint("purged")
    counts += erase_rows(user_id, streams)
    failpoint("unprojected")
    # the head of the log stays above every position that was ever given out
    before = log.database_time() - timedelta(days=settings.RETENTION_DAYS)
    log.append_to_instance([PublicHistoryTrimmed(before=before)])
    log.notify()
    return dict(counts)


def erase_rows(user_id: UUID, streams: list[int]) -> Counter[str]:
    """Delete the rows of a user, and the dead letters of his streams; returns how many of what."""
    counts: Counter[str] = Counter()
    with (
        connect("projections", application_name="balados-erasure") as connection,
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute(LOCK)
        cursor.execute(NEXT_EPOCH)
        for projector in PROJECTORS.values():
            for named in NAMED:
                if deleted := _erase_public(cursor, projector.tables, named, user_id):
                    counts[PUBLIC_EVENTS] += deleted
                for table in projector.tables:
                    if deleted := _erase_table(cursor, named(table), user_id):
                        counts[table] += deleted
        cursor.execute(LETTERS, [streams])
        counts["users.dead_letters"] += cursor.rowcount
        failpoint("unprojecting")
    return +counts


def _erase_public(
    cursor: Cursor[Any], tables: Sequence[str], named: Callable[[str], str], user_id: UUID
) -> int:
    """Called before the activity is deleted, which says whose the public rows are."""
    if PUBLIC_EVENTS not in tables or not _has_users(cursor, named(PUBLIC_EVENTS)):
        return 0
    names = {"public": PUBLIC_EVENTS, "activity": ACTIVITY, "due": DUE}
    statement = PUBLIC.format(**{name: identifier(named(table)) for name, table in names.items()})
    return sum(count for (count,) in cursor.execute(statement, {"user": user_id}))


def _erase_table(cursor: Cursor[Any], table: str, user_id: UUID) -> int:
    if not _has_users(cursor, table):
        return 0
    cursor.execute(ROWS.format(table=identifier(table)), [user_id])
    return cursor.rowcount


def _has_users(cursor: Cursor[Any], table: str) -> bool:
    """Whether there is such a table (a shadow need not exist), with a column ``user_id``."""
    cursor.execute(HAS_USERS, [table])
    return cursor.fetchone() != (0,)
