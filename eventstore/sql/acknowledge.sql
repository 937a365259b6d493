INSERT INTO events.projection_versions (projector, position, at)
SELECT key, value::bigint, clock_timestamp() FROM jsonb_each_text(%s::jsonb)
ON CONFLICT (projector) DO UPDATE SET position = excluded.position, at = excluded.at
