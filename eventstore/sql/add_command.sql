-- A command id that is known already is a unique violation, which refuses the append as well.
INSERT INTO events.commands (stream, id, fingerprint, position, version, answer)
SELECT %(stream)s::bigint, %(id)s::uuid, %(fingerprint)s::bytea, position, %(version)s::integer, %(answer)s::bytea
FROM last
