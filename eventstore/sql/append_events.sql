-- Append several events, given as lines of text with one value for each. Taking lines apart is a seventh cheaper
-- than jsonb_array_elements, and a third of unnesting arrays that psycopg has written. There is no ON CONFLICT:
-- with it, a single event of a concurrent writer could be skipped and the rest of ours recorded after it. A
-- unique violation refuses the whole statement. unnest yields rows in the order of its arrays, so positions rise
-- with versions.
INSERT INTO events.events (stream, version, event_id, type, schema, data, metadata)
SELECT %(stream)s::bigint, %(expected)s::integer + e.number::integer, e.id, e.type, e.schema, e.data::jsonb,
       coalesce(e.metadata::jsonb, %(metadata)s::jsonb)
FROM unnest(string_to_array(%(ids)s::text, ' ')::uuid[], string_to_array(%(types)s::text, ' '),
            string_to_array(%(schemas)s::text, ' ')::smallint[], string_to_array(%(data)s::text, E'\n'),
            string_to_array(%(origins)s::text, E'\n'))
     WITH ORDINALITY AS e(id, type, schema, data, metadata, number)
WHERE %(expected)s::integer = coalesce((SELECT max(version) FROM events.events WHERE stream = %(stream)s::bigint), 0)
  AND (SELECT tombstone FROM events.streams WHERE id = %(stream)s::bigint) IS NULL
