DELETE FROM events.events WHERE stream = %s AND version = ANY(%s::integer[])
