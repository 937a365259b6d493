-- As append_many, and the command's id and answer in the same statement. A second statement with the same
-- id is refused whole by the primary key of events.commands.
WITH appended AS (
    INSERT INTO events.events (stream, version, type, schema, data, metadata)
    SELECT %(stream)s, %(expected)s + e.ordinality::integer, e.value ->> 't', (e.value ->> 's')::smallint,
           e.value -> 'd', %(metadata)s::jsonb
    FROM jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS e
    WHERE %(expected)s::integer = greatest(
        (SELECT max(version) FROM events.events WHERE stream = %(stream)s),
        (SELECT version FROM events.snapshots WHERE stream = %(stream)s),
        0)
    RETURNING position),
remembered AS (
    INSERT INTO events.commands (stream, id, fingerprint, position, version, answer)
    SELECT %(stream)s, %(id)s, %(fingerprint)s, max(position), %(version)s, %(answer)s
    FROM appended HAVING count(*) > 0)
SELECT max(position) FROM appended
