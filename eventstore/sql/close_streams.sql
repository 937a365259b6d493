-- As bury.sql: a version that no append can expect. Whoever still knows the stream is refused by it.
INSERT INTO events.snapshots (stream, version, position, schema, state)
SELECT id, 2147483647, 0, 0, '' FROM ended_streams WHERE NOT %(kept)s::boolean OR name IS NULL OR tombstone IS NOT NULL
