"""Erases what is known of a user from the events store and the read models: for good, and resumable.

First the stream gets a tombstone, then the events are deleted, then the rows. A batch that a projector has
read before has an older epoch and is therefore read again, so nothing writes the rows back.
"""

from collections import Counter
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from psycopg import sql

from eventstore import erasure, log
from eventstore.domain.checkpoint import PublicHistoryTrimmed
from eventstore.failpoints import failpoint
from eventstore.follower import settled_head
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.projectors.shape import identifier
from projections.shadows import shadow_of

# events per transaction
CHUNK = 5_000
# waits for those who write rows now and blocks new writers; readers are not affected
LOCK = 'LOCK TABLE "users"."projector_positions" IN EXCLUSIVE MODE'
NEXT_EPOCH = 'UPDATE "users"."projector_positions" SET epoch = epoch + 1'
LETTERS = 'DELETE FROM "users"."dead_letters" WHERE stream = ANY(%s)'
ACTIVITY, PUBLIC_EVENTS, DUE = "users.activity", "public.public_events", "users.popularity_due"
# those of these tables that exist (a shadow need not) and have a column user_id
OF_USERS = """
SELECT name FROM unnest(%s::text[]) AS name JOIN pg_attribute ON attrelid = to_regclass(name)
 WHERE attname = 'user_id' AND NOT attisdropped
"""
ROWS = sql.SQL("DELETE FROM {table} WHERE user_id = %s")
# what others see of the user, including anonymous rows
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
    """Erase everything of a user in the two stores; return the numbers of events and rows, by kind.

    Repeatable: it then finds nothing, or what a killed run left.
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
    # so that the head of the log stays above every position ever assigned
    before = log.database_time() - timedelta(days=settings.RETENTION_DAYS)
    log.append_to_instance([PublicHistoryTrimmed(before=before)])
    log.notify()
    return dict(counts)


def erase_rows(user_id: UUID, streams: list[int]) -> Counter[str]:
    """Delete a user's rows, and the dead letters of the user's streams; return how many, by table."""
    counts: Counter[str] = Counter()
    tables = [table for projector in PROJECTORS.values() for table in projector.tables]
    with (
        connect("projections", application_name="balados-erasure") as connection,
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute(LOCK)
        cursor.execute(NEXT_EPOCH)
        # the live tables, and those that a rebuild or a verification is filling
        for names in ({table: table for table in tables}, {table: shadow_of(table) for table in tables}):
            of_users = {name for (name,) in cursor.execute(OF_USERS, [list(names.values())])}
            at = {table: identifier(name) for table, name in names.items() if name in of_users}
            if PUBLIC_EVENTS in at:  # the public rows first, because the activity says whose they are
                due = identifier(names[DUE])
                public = PUBLIC.format(public=at[PUBLIC_EVENTS], activity=at[ACTIVITY], due=due)
                counts[PUBLIC_EVENTS] += sum(count for (count,) in cursor.execute(public, {"user": user_id}))
            for table in at:
                counts[table] += cursor.execute(ROWS.format(table=at[table]), [user_id]).rowcount
        counts["users.dead_letters"] += cursor.execute(LETTERS, [streams]).rowcount
        failpoint("unprojecting")
    return +counts
