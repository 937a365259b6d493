SELECT id FROM events.streams s
WHERE tombstone IS NOT NULL AND EXISTS (SELECT FROM events.events WHERE stream = s.id) ORDER BY id
