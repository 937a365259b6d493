-- The version of a stream and all of its entries, in one snapshot of the database.
SELECT s.id, s.state_schema, s.tombstone IS NOT NULL, coalesce(e.version, 0), coalesce(e.position, 0),
       n.topic, coalesce(nullif(n.name, ''), replace(n.key::text, '-', '')), n.state
FROM events.streams s
LEFT JOIN LATERAL (
    SELECT version, position FROM events.events WHERE stream = s.id ORDER BY version DESC LIMIT 1) e ON true
LEFT JOIN events.snapshots n ON n.stream = s.id
WHERE s.id = %(stream)s
ORDER BY n.topic, n.key
