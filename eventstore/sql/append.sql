-- One event, in one round trip: recorded only when the stream is at the expected version.
-- The position is drawn inside this INSERT and nowhere else: the gap-aware reader relies on it.
-- The snapshot's version counts too: where nothing else is left of the stream, and as a tombstone (tombstone_stream.sql).
INSERT INTO events.events (stream, version, type, schema, data, metadata)
SELECT %(stream)s::bigint, %(expected)s::integer + 1, %(type)s::text, %(schema)s::smallint, %(data)s::jsonb,
       %(metadata)s::jsonb
WHERE %(expected)s = greatest(
    (SELECT max(version) FROM events.events WHERE stream = %(stream)s),
    (SELECT version FROM events.snapshots WHERE stream = %(stream)s),
    0)
ON CONFLICT (stream, version) DO NOTHING
RETURNING position
