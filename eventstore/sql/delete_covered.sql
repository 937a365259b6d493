-- One chunk of what a checkpoint covers that every projector has passed. The walk also meets what stays.
WITH old AS MATERIALIZED (
    SELECT position, stream, version FROM events.events
    WHERE position > %(after)s AND position <= %(upto)s AND recorded_at < %(cutoff)s
      AND type = ANY(%(types)s::text[])
    ORDER BY position LIMIT %(chunk)s),
covered AS (
    SELECT s.stream, c.version
    FROM (SELECT DISTINCT stream FROM old) s
    CROSS JOIN LATERAL (
        SELECT max(version) AS version FROM events.events
        WHERE stream = s.stream AND type = 'UserCheckpoint' AND position <= %(passed)s) c),
gone AS (
    DELETE FROM events.events e USING old, covered
    WHERE e.position = old.position AND covered.stream = old.stream AND old.version < covered.version
    RETURNING 1)
SELECT (SELECT max(position) FROM old), (SELECT count(*) FROM gone)
