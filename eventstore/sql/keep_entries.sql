-- Store entries whether or not there are older ones.
INSERT INTO events.snapshots (stream, topic, key, name, state)
SELECT %(stream)s::bigint, e.topic, e.key, coalesce(e.name, ''), e.state
FROM last, ROWS FROM (
    unnest(string_to_array(%(kept_topics)s::text, ' '), string_to_array(%(kept_keys)s::text, ' ')::uuid[],
           string_to_array(%(kept_states)s::text, E'\n')),
    jsonb_array_elements_text(%(kept_names)s::jsonb)) AS e(topic, key, state, name)
ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state
