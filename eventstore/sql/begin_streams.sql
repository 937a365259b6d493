-- A checkpoint that holds nothing, after the last version that anybody knows: the truth of its listener from
-- here on, for processes that keep the older state, for projectors, and for the cursors of devices.
INSERT INTO events.events (stream, version, type, schema, data, metadata)
SELECT id, version + 1, %(type)s, %(schema)s,
       jsonb_build_object('user_id', substring(name FROM 6), 'taken_at', %(at)s::timestamptz), '{}'
  FROM ended_streams
 WHERE version > 0 AND tombstone IS NULL AND starts_with(name, 'user-')
 ORDER BY id
