-- The version of a stream, and the newest entries of some topics and keys, in one snapshot of the database.
-- LIMIT keeps the planner from reading the whole stream to find a few entries: without statistics it assumes
-- that the stream is short.
SELECT s.id, s.state_schema, s.tombstone IS NOT NULL, coalesce(e.version, 0), coalesce(e.position, 0),
       n.topic, coalesce(nullif(n.name, ''), replace(n.key::text, '-', '')), n.state
FROM events.streams s
LEFT JOIN LATERAL (
    SELECT version, position FROM events.events WHERE stream = s.id ORDER BY version DESC LIMIT 1) e ON true
LEFT JOIN (
    unnest(string_to_array(%(topics)s::text, ' '), string_to_array(%(keys)s::text, ' ')::uuid[]) AS k(topic, key)
    CROSS JOIN LATERAL (
        SELECT * FROM events.snapshots
        WHERE stream = {stream} AND topic = k.topic AND key = k.key LIMIT 1) n) ON {among}
WHERE s.id = {stream}
