-- Insert entries that are known to be new, without ON CONFLICT, which would take twice as long.
INSERT INTO events.snapshots (stream, topic, key, name, state)
SELECT %(stream)s::bigint, e.topic, e.key, coalesce(e.name, ''), e.state
FROM last, ROWS FROM (
    unnest(string_to_array(%(added_topics)s::text, ' '), string_to_array(%(added_keys)s::text, ' ')::uuid[],
           string_to_array(%(added_states)s::text, E'\n')),
    jsonb_array_elements_text(%(added_names)s::jsonb)) AS e(topic, key, state, name)
