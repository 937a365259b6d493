-- Several events as one jsonb parameter (91,000 events/s where unnest of arrays gave 31,000).
-- No ON CONFLICT here: with it a rival's single event could be skipped and the rest of ours recorded after
-- it. A unique violation refuses the whole statement. jsonb_array_elements yields in array order, so
-- positions rise with versions.
WITH appended AS (
    INSERT INTO events.events (stream, version, type, schema, data, metadata)
    SELECT %(stream)s, %(expected)s + e.ordinality::integer, e.value ->> 't', (e.value ->> 's')::smallint,
           e.value -> 'd', %(metadata)s::jsonb
    FROM jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS e
    WHERE %(expected)s::integer = greatest(
        (SELECT max(version) FROM events.events WHERE stream = %(stream)s),
        (SELECT version FROM events.snapshots WHERE stream = %(stream)s),
        0)
    RETURNING position)
SELECT max(position) FROM appended
