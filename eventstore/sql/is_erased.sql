SELECT tombstone IS NOT NULL FROM events.streams WHERE id = %s
