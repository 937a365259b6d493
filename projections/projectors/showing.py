"""The SQL of the projector of public rows: what is stored, what is derived from that and shown, what is
deleted.

The names in braces are its tables (public_events.py), which a rebuild replaces with fresh ones.
"""

from psycopg import sql

# Of two acts at the same time, the one that arrived later counts, because its event is kept longer. The item
# is spelt as in the act that counts.
MERGE = """
    happened_at = greatest(kept.happened_at, EXCLUDED.happened_at),
    withdrawn_at = greatest(kept.withdrawn_at, EXCLUDED.withdrawn_at),
    arrived_at = CASE WHEN {older} THEN kept.arrived_at ELSE EXCLUDED.arrived_at END,
    rss_source_item = CASE WHEN {older} THEN kept.rss_source_item ELSE EXCLUDED.rss_source_item END,
    secret = CASE WHEN {older} THEN kept.secret ELSE EXCLUDED.secret END
""".format(older="EXCLUDED.happened_at IS NULL OR EXCLUDED.happened_at < kept.happened_at")

TOUCHED = """
SELECT user_id, kind, key
  FROM jsonb_to_recordset(%(touched)s::jsonb) AS touched (user_id uuid, kind text, key uuid)
"""
REACHED = """
UNION SELECT user_id, kind, key FROM {activity} WHERE user_id = ANY(%(users)s)
UNION SELECT user_id, kind, key FROM {activity} JOIN
      jsonb_to_recordset(%(feeds)s::jsonb) AS scope (user_id uuid, feed_key uuid) USING (user_id, feed_key)
UNION SELECT user_id, kind, key FROM {activity} JOIN
      jsonb_to_recordset(%(items)s::jsonb) AS scope (user_id uuid, item_key uuid) USING (user_id, item_key)
"""
MARKED = """
UNION SELECT user_id, kind, key FROM {activity} WHERE feed_key = ANY(%(marked)s::uuid[])
"""
# For acts, the level in force for each and, as ``wanted``, what others see of it. This is the one rule: it
# decides what is shown, what a change would show, and who is named anywhere.
JUDGED = """states AS (
    SELECT a.*, CASE WHEN a.secret OR blocked.feed_key IS NOT NULL THEN 'private' ELSE
                coalesce(of_item.level, of_feed.level, of_account.level, %(default)s) END AS in_force,
           a.happened_at >= coalesce(a.withdrawn_at, a.happened_at) AS stands
      FROM {acts}
      LEFT JOIN {{levels}} of_item ON of_item.user_id = a.user_id
           AND of_item.feed_key = %(no_key)s AND of_item.item_key = a.item_key
      LEFT JOIN {{levels}} of_feed ON of_feed.user_id = a.user_id
           AND of_feed.feed_key = a.feed_key AND of_feed.item_key = %(no_key)s
      LEFT JOIN {{levels}} of_account ON of_account.user_id = a.user_id
           AND of_account.feed_key = %(no_key)s AND of_account.item_key = %(no_key)s
      LEFT JOIN {{blocked}} blocked ON blocked.feed_key = a.feed_key
),
wanted AS (
    SELECT *, coalesce(stands, false) AND in_force IN ('public', 'anonymous') AS shown,
           CASE in_force WHEN 'public' THEN user_id END AS shown_user,
           CASE in_force WHEN 'public' THEN least(happened_at, arrived_at)
                         ELSE date_trunc('hour', least(happened_at, arrived_at), 'UTC') END AS shown_at
      FROM states
)"""
# Derives what is shown from what was done and what was set, and leaves correct rows alone. LIMIT keeps the
# planner from reading all of the activity to find a few rows: it expects 100 rows in every batch.
SHOW = """
WITH reach AS ({reach}),
{judged},
due AS MATERIALIZED (
    SELECT wanted.*, CASE WHEN shown THEN gen_random_uuid() END AS new_id
      FROM wanted LEFT JOIN {{public}} p ON p.id = wanted.public_id
     WHERE wanted.level <> in_force OR shown <> (p.id IS NOT NULL)
        OR shown AND (p.happened_at, p.user_id, p.rss_source_item)
                     IS DISTINCT FROM (shown_at, shown_user, wanted.rss_source_item)
),
gone AS (DELETE FROM {{public}} p USING due WHERE p.id = due.public_id),
counted AS (
    INSERT INTO {{due}} (feed_key, item_key)
    SELECT DISTINCT feed_key, item_key FROM due WHERE shown OR public_id IS NOT NULL
),
come AS (
    INSERT INTO {{public}}
           (id, kind, rss_source_feed, feed_key, rss_source_item, item_key, guid_key, happened_at, user_id)
    SELECT new_id, kind, rss_source_feed, feed_key, rss_source_item, item_key, guid_key, shown_at, shown_user
      FROM due WHERE shown
)
UPDATE {{activity}} a SET level = due.in_force, public_id = due.new_id FROM due
 WHERE a.ctid = due.place
"""
IN_REACH = """reach
     CROSS JOIN LATERAL (
            SELECT ctid AS place, * FROM {activity} k
             WHERE k.user_id = reach.user_id AND k.kind = reach.kind AND k.key = reach.key LIMIT 1) a"""
JUDGED_IN_REACH = JUDGED.format(acts=IN_REACH)
SHOW_TOUCHED = sql.SQL(SHOW.format(reach=TOUCHED, judged=JUDGED_IN_REACH))
SHOW_IN_REACH = sql.SQL(SHOW.format(reach=TOUCHED + REACHED, judged=JUDGED_IN_REACH))
SHOW_MARKED = sql.SQL(SHOW.format(reach=TOUCHED + REACHED + MARKED, judged=JUDGED_IN_REACH))

MARK = sql.SQL("""
INSERT INTO {blocked} AS kept (feed_key, {marker})
SELECT * FROM jsonb_to_recordset(%s::jsonb) AS incoming (feed_key uuid, since timestamptz)
ON CONFLICT (feed_key) DO UPDATE SET {marker} = EXCLUDED.{marker}
""")
UNMARK = sql.SQL("""
DELETE FROM {blocked} WHERE feed_key = ANY(%s::uuid[]) AND publisher_since IS NULL AND operator_since IS NULL
""")

# Which activity is deleted: what a listener removes, what turned out to be another episode, what is old.
IN_SCOPE = """
a.user_id = %(user)s AND (%(feed)s::uuid IS NULL OR a.feed_key = %(feed)s)
 AND (%(item)s::uuid IS NULL OR a.item_key = %(item)s)
"""
# nothing is shown without a happened_at, so without one there is nothing to hide
OLD = "a.happened_at < %(before)s"
HIDE = """
WITH hidden AS (
    DELETE FROM {{public}} p USING {{activity}} a WHERE p.id = a.public_id AND {which}
    RETURNING p.feed_key, p.item_key
)
INSERT INTO {{due}} (feed_key, item_key) SELECT DISTINCT feed_key, item_key FROM hidden
"""
FORGET = "DELETE FROM {{activity}} a WHERE {which}"
HIDE_IN_SCOPE = sql.SQL(HIDE.format(which=IN_SCOPE))
HIDE_OLD = sql.SQL(HIDE.format(which=OLD))
FORGET_IN_SCOPE = sql.SQL(FORGET.format(which=IN_SCOPE))
FORGET_OLD = sql.SQL("""
DELETE FROM {activity} a
 WHERE (happened_at < %(before)s OR withdrawn_at < %(before)s)
   AND coalesce(happened_at < %(before)s, true) AND coalesce(withdrawn_at < %(before)s, true)
""")
FORGET_OLD_TIMES = sql.SQL("""
UPDATE {activity} a SET
    public_id = CASE WHEN happened_at < %(before)s THEN NULL ELSE public_id END,
    happened_at = CASE WHEN happened_at < %(before)s THEN NULL ELSE happened_at END,
    arrived_at = CASE WHEN happened_at < %(before)s THEN NULL ELSE arrived_at END,
    withdrawn_at = CASE WHEN withdrawn_at < %(before)s THEN NULL ELSE withdrawn_at END
 WHERE happened_at < %(before)s OR withdrawn_at < %(before)s
""")
