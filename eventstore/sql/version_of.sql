SELECT coalesce(max(version), 0) FROM events.events WHERE stream = %s
