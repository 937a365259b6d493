SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
FROM events.events WHERE stream = %s AND version < %s ORDER BY version DESC LIMIT %s
