-- Delete, in a range of positions, what is covered by a checkpoint that every projector has passed. The array
-- keeps the planner from reading the whole log for each range.
WITH old AS MATERIALIZED (
    SELECT position, stream, version FROM events.events
    WHERE position > %(after)s AND position <= %(upto)s AND recorded_at < %(cutoff)s
      AND type = ANY(%(types)s::text[])),
covered AS MATERIALIZED (
    SELECT s.stream, (
        SELECT version FROM events.events
        WHERE stream = s.stream AND type = 'UserCheckpoint' AND position <= %(acknowledged)s
        ORDER BY version DESC LIMIT 1) AS version
    FROM (SELECT DISTINCT stream FROM old) s)
DELETE FROM events.events WHERE position = ANY(ARRAY(
    SELECT position FROM old JOIN covered USING (stream) WHERE old.version < covered.version))
