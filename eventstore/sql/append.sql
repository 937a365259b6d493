-- Append one event in one round trip: only when the stream is at the expected version and was not erased. The
-- position is drawn inside this INSERT and nowhere else, which the gap-aware reader relies on. A concurrent
-- writer of the same version is refused by the unique constraint: ON CONFLICT would cost every append more.
INSERT INTO events.events (stream, version, event_id, type, schema, data, metadata)
SELECT %(stream)s::bigint, %(expected)s::integer + 1, %(event_id)s::uuid, %(type)s::text, %(schema)s::smallint,
       %(data)s::jsonb, %(metadata)s::jsonb
WHERE %(expected)s = coalesce((SELECT max(version) FROM events.events WHERE stream = %(stream)s), 0)
  AND (SELECT tombstone FROM events.streams WHERE id = %(stream)s) IS NULL
RETURNING position
