INSERT INTO events.streams (name)
SELECT %s WHERE NOT EXISTS (SELECT FROM events.streams WHERE name = %s)
ON CONFLICT (name) DO NOTHING
