SELECT count(*) FROM events.streams WHERE tombstone IS NULL AND starts_with(name, 'user-')
