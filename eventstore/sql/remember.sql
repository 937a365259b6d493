-- A command that changed nothing, remembered with its answer.
INSERT INTO events.commands (stream, id, fingerprint, position, version, answer)
VALUES (%(stream)s, %(id)s, %(fingerprint)s, %(position)s, %(version)s, %(answer)s)
ON CONFLICT (stream, id) DO NOTHING
