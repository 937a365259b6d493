DELETE FROM events.commands WHERE (stream, id) IN (
    SELECT stream, id FROM events.commands WHERE at < %s LIMIT 5000)
