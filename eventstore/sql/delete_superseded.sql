-- Events of the instance's stream of which a newer one says the same or more, and figures that are all zero:
-- a rebuild without them makes the same rows. The last event stays, for the version and the head of the log.
WITH told AS (
    SELECT position, version, type,
           row_number() OVER newest AS age,
           (data ->> 'before')::timestamptz <= max((data ->> 'before')::timestamptz) OVER (
               newest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS trimmed_since,
           coalesce((data ->> 'score')::bigint, 0) = 0 AND coalesce((data ->> 'plays')::bigint, 0) = 0
               AND coalesce((data ->> 'likes')::bigint, 0) = 0 AND coalesce((data ->> 'shares')::bigint, 0) = 0
               AND coalesce((data ->> 'subscribers')::bigint, 0) = 0 AS nothing
    FROM events.events
    WHERE stream = %(stream)s AND position <= %(passed)s
      AND type IN ('PopularityRecalculated', 'PublicHistoryTrimmed')
    WINDOW newest AS (
        PARTITION BY type, data ->> 'rss_source_feed', data ->> 'rss_source_item' ORDER BY version DESC))
DELETE FROM events.events e USING told
WHERE e.position = told.position
  AND told.version < (SELECT max(version) FROM events.events WHERE stream = %(stream)s)
  AND CASE told.type WHEN 'PopularityRecalculated' THEN told.age > 1 OR told.nothing
                     ELSE coalesce(told.trimmed_since, false) END
