-- Users with events after their newest checkpoint.
SELECT s.name
FROM events.streams s
WHERE s.tombstone IS NULL AND starts_with(s.name, 'user-')
  AND EXISTS (
    SELECT FROM events.events e WHERE e.stream = s.id AND e.version > coalesce(
        (SELECT max(version) FROM events.events c WHERE c.stream = s.id AND c.type = 'UserCheckpoint'), 0))
ORDER BY s.id
