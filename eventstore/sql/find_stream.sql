SELECT id, tombstone FROM events.streams WHERE name = %s
