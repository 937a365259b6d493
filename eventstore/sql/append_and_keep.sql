-- As append, and the newest entry of what the event is about in the same statement.
WITH appended AS (
INSERT INTO events.events (stream, version, type, schema, data, metadata)
SELECT %(stream)s::bigint, %(expected)s::integer + 1, %(type)s::text, %(schema)s::smallint, %(data)s::jsonb,
       %(metadata)s::jsonb
WHERE %(expected)s = coalesce((SELECT max(version) FROM events.events WHERE stream = %(stream)s), 0)
  AND (SELECT tombstone FROM events.streams WHERE id = %(stream)s) IS NULL
ON CONFLICT (stream, version) DO NOTHING
RETURNING position),
kept AS (
INSERT INTO events.snapshots (stream, topic, key, name, state)
SELECT %(stream)s, %(topic)s::text, %(key)s::uuid, %(name)s::text, %(state)s::text FROM appended
ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state)
SELECT position FROM appended
