DELETE FROM events.events WHERE position IN (
    SELECT position FROM events.events WHERE stream = %s ORDER BY version LIMIT %s)
