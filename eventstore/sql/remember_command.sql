-- Remember a command that changed nothing, with its answer. FOR SHARE makes the tombstone of a concurrent
-- erasure wait for it.
INSERT INTO events.commands (stream, id, fingerprint, position, version, answer)
SELECT %(stream)s, %(id)s, %(fingerprint)s, %(position)s, %(version)s, %(answer)s
FROM events.streams WHERE id = %(stream)s AND tombstone IS NULL FOR SHARE
ON CONFLICT (stream, id) DO NOTHING
