-- Append several events, given as lines of text with one value for each, and the entries that they add, change
-- and remove; and the command's id and answer where it has one. Taking lines apart is a seventh cheaper than
-- jsonb_array_elements, and a third of unnesting arrays that psycopg has written. Added entries need no ON
-- CONFLICT, which would take twice as long. There is none for the events either: with it, a single event of a
-- concurrent writer could be skipped and the rest of ours recorded after it. A unique violation refuses the
-- whole statement, also where the command id is known. unnest yields rows in the order of its arrays, so
-- positions rise with versions.
WITH appended AS (
    INSERT INTO events.events (stream, version, event_id, type, schema, data, metadata)
    SELECT %(stream)s, %(expected)s + e.number::integer, e.id, e.type, e.schema, e.data::jsonb,
           coalesce(e.metadata::jsonb, %(metadata)s::jsonb)
    FROM unnest(string_to_array(%(ids)s::text, ' ')::uuid[], string_to_array(%(types)s::text, ' '),
                string_to_array(%(schemas)s::text, ' ')::smallint[], string_to_array(%(data)s::text, E'\n'),
                string_to_array(%(origins)s::text, E'\n'))
         WITH ORDINALITY AS e(id, type, schema, data, metadata, number)
    WHERE %(expected)s::integer = coalesce((SELECT max(version) FROM events.events WHERE stream = %(stream)s), 0)
      AND (SELECT tombstone FROM events.streams WHERE id = %(stream)s) IS NULL
    RETURNING position),
last AS (SELECT max(position) AS position FROM appended HAVING count(*) > 0),
added AS (
    INSERT INTO events.snapshots (stream, topic, key, name, state)
    SELECT %(stream)s, e.topic, e.key, coalesce(e.name, ''), e.state
    FROM last, ROWS FROM (
        unnest(string_to_array(%(added_topics)s::text, ' '), string_to_array(%(added_keys)s::text, ' ')::uuid[],
               string_to_array(%(added_states)s::text, E'\n')),
        jsonb_array_elements_text(%(added_names)s::jsonb)) AS e(topic, key, state, name)),
kept AS (
    INSERT INTO events.snapshots (stream, topic, key, name, state)
    SELECT %(stream)s, e.topic, e.key, coalesce(e.name, ''), e.state
    FROM last, ROWS FROM (
        unnest(string_to_array(%(kept_topics)s::text, ' '), string_to_array(%(kept_keys)s::text, ' ')::uuid[],
               string_to_array(%(kept_states)s::text, E'\n')),
        jsonb_array_elements_text(%(kept_names)s::jsonb)) AS e(topic, key, state, name)
    ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state),
gone AS (
    DELETE FROM events.snapshots s
    USING last, unnest(string_to_array(%(gone_topics)s::text, ' '),
                       string_to_array(%(gone_keys)s::text, ' ')::uuid[]) AS e(topic, key)
    WHERE s.stream = %(stream)s AND s.topic = e.topic AND s.key = e.key),
remembered AS (
    INSERT INTO events.commands (stream, id, fingerprint, position, version, answer)
    SELECT %(stream)s, %(id)s::uuid, %(fingerprint)s::bytea, position, %(version)s::integer, %(answer)s::bytea
    FROM last WHERE %(id)s IS NOT NULL)
SELECT position FROM last
