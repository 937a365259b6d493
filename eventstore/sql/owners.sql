SELECT id, name FROM events.streams WHERE id = ANY(%s)
