-- OFFSET 0: else the planner walks back through all that is newer, hoping to meet an old one soon.
SELECT max(position) FROM (SELECT position FROM events.events WHERE recorded_at < {cutoff} OFFSET 0) old
