-- Kept states that a process would load, a page of them.
SELECT n.stream, n.version, n.position, n.state, s.name
  FROM events.snapshots n JOIN events.streams s ON s.id = n.stream AND s.tombstone IS NULL
 WHERE n.stream > %(after)s AND (%(stream)s::bigint IS NULL OR n.stream = %(stream)s)
   AND n.schema = %(schema)s AND n.version < 2147483647 AND NOT EXISTS (
    SELECT FROM events.events c WHERE c.stream = n.stream AND c.type = 'UserCheckpoint' AND c.version > n.version)
 ORDER BY n.stream LIMIT 200
