INSERT INTO events.streams (name) VALUES (%s) ON CONFLICT (name) DO NOTHING
