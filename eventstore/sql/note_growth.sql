-- A checkpoint is due where a stream has grown by more than this many events since the last one.
UPDATE events.streams SET checkpoint_due = true
WHERE id = %(stream)s AND NOT checkpoint_due AND %(most)s < (
    SELECT max(version) FROM events.events WHERE stream = %(stream)s) - coalesce((
    SELECT max(version) FROM events.events WHERE stream = %(stream)s AND type = 'UserCheckpoint'), 0)
