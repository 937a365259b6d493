-- Put a tombstone on a stream: from then on the append statement refuses every writer that still knows the
-- stream.
WITH renamed AS (
    UPDATE events.streams
    SET name = CASE WHEN EXISTS (SELECT FROM events.streams WHERE name = %(tombstone)s::text)
                    THEN %(tombstone)s::text || '-' || id ELSE %(tombstone)s::text END,
        created_at = clock_timestamp(), tombstone = clock_timestamp()
    WHERE name = %(name)s::text RETURNING id)
INSERT INTO events.streams (name, tombstone)
SELECT %(tombstone)s::text, clock_timestamp() WHERE NOT EXISTS (SELECT FROM renamed)
ON CONFLICT (name) DO NOTHING
