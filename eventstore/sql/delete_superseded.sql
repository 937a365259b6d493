-- Delete events of the instance's stream that a newer one repeats or extends, figures that are all zero, and
-- marks that unblock: a rebuild without them makes the same rows. A mark that unblocks is deleted together
-- with all older marks of the feed by the same marker; one that blocks stays for as long as it holds. The
-- last event stays, for the version and the head of the log.
WITH told AS (
    SELECT position, version, type,
           row_number() OVER newest AS age,
           (data ->> 'before')::timestamptz <= max((data ->> 'before')::timestamptz) OVER (
               newest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS trimmed_since,
           coalesce((data ->> 'score')::bigint, 0) = 0 AND coalesce((data ->> 'plays')::bigint, 0) = 0
               AND coalesce((data ->> 'likes')::bigint, 0) = 0 AND coalesce((data ->> 'shares')::bigint, 0) = 0
               AND coalesce((data ->> 'subscribers')::bigint, 0) = 0 AS nothing,
           data -> 'blocked' = 'false' AS lifts
    FROM events.events
    WHERE stream = %(stream)s AND position <= %(acknowledged)s
      AND type IN ('PopularityRecalculated', 'PublicHistoryTrimmed', 'FeedMarked')
    WINDOW newest AS (
        PARTITION BY type, data ->> 'rss_source_feed', data ->> 'rss_source_item',
                     data ->> 'feed_key', data ->> 'marked_by'
        ORDER BY version DESC))
DELETE FROM events.events e USING told
WHERE e.position = told.position
  AND told.version < (SELECT max(version) FROM events.events WHERE stream = %(stream)s)
  AND CASE told.type WHEN 'PopularityRecalculated' THEN told.age > 1 OR told.nothing
                     WHEN 'FeedMarked' THEN told.age > 1 OR coalesce(told.lifts, false)
                     ELSE coalesce(told.trimmed_since, false) END
