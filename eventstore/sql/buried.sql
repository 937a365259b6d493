SELECT id FROM events.streams WHERE starts_with(name, %s) AND tombstone IS NOT NULL ORDER BY id
