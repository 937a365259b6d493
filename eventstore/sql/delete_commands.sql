DELETE FROM events.commands WHERE stream = %s
