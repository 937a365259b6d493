SELECT max(position) FROM (
    SELECT position FROM events.events WHERE position > %s ORDER BY position LIMIT %s) chunk
