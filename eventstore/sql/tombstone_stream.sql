-- The tombstone, and beside it a snapshot of a version that no append can expect: whoever still knows the
-- stream is refused by the statement that he sends anyway.
WITH renamed AS (
    UPDATE events.streams
    SET name = CASE WHEN EXISTS (SELECT FROM events.streams WHERE name = %(tombstone)s::text)
                    THEN %(tombstone)s::text || '-' || id ELSE %(tombstone)s::text END,
        created_at = clock_timestamp(), tombstone = clock_timestamp()
    WHERE name = %(name)s::text RETURNING id),
made AS (
    INSERT INTO events.streams (name, tombstone)
    SELECT %(tombstone)s::text, clock_timestamp() WHERE NOT EXISTS (SELECT FROM renamed)
    ON CONFLICT (name) DO NOTHING RETURNING id)
INSERT INTO events.snapshots (stream, version, position, schema, state)
SELECT id, 2147483647, 0, 0, '' FROM (TABLE renamed UNION ALL TABLE made) stream
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, position = 0, schema = 0, state = ''
