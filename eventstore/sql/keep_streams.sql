-- The same listeners have the same streams: processes that run on know them by their numbers.
INSERT INTO events.streams (id, name, created_at, tombstone) OVERRIDING SYSTEM VALUE
SELECT id, name, created_at, tombstone FROM ended_streams WHERE name IS NOT NULL
