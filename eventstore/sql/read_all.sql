SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
FROM events.events WHERE position > %s AND position <= %s ORDER BY position LIMIT %s
