-- The greatest version is a tombstone (tombstone_stream.sql), and stays.
INSERT INTO events.snapshots (stream, version, position, schema, state)
VALUES (%(stream)s, %(version)s, %(position)s, %(schema)s, %(state)s)
ON CONFLICT (stream) DO UPDATE
SET version = excluded.version, position = excluded.position, schema = excluded.schema,
    state = excluded.state, taken_at = clock_timestamp()
WHERE (events.snapshots.version < excluded.version OR events.snapshots.schema <> excluded.schema)
  AND events.snapshots.version < 2147483647
