-- Like append.sql, and store the newest entry of what the event is about in the same statement. An entry that
-- is known to be new is inserted without ON CONFLICT, which saves a tenth of the statement or more.
WITH appended AS (
{append}),
kept AS (
    INSERT INTO events.snapshots (stream, topic, key, name, state)
    SELECT %(stream)s, %(topic)s::text, %(key)s::uuid, %(name)s::text, %(state)s::text FROM appended
    {on_conflict})
SELECT position FROM appended
