DELETE FROM events.snapshots s
USING last, unnest(string_to_array(%(gone_topics)s::text, ' '),
                   string_to_array(%(gone_keys)s::text, ' ')::uuid[]) AS e(topic, key)
WHERE s.stream = %(stream)s::bigint AND s.topic = e.topic AND s.key = e.key
