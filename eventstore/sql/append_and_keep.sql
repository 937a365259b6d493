-- Like append.sql, and store the newest entry of what the event is about in the same statement.
WITH appended AS (
{append}),
kept AS (
    INSERT INTO events.snapshots (stream, topic, key, name, state)
    SELECT %(stream)s, %(topic)s::text, %(key)s::uuid, %(name)s::text, %(state)s::text FROM appended
    ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state)
SELECT position FROM appended
