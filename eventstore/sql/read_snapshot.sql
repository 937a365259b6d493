-- Not one that a checkpoint has replaced: the events in between may be gone.
SELECT version, position, state FROM events.snapshots s
WHERE stream = %s AND schema = %s AND NOT EXISTS (
    SELECT FROM events.events c WHERE c.stream = s.stream AND c.type = 'UserCheckpoint' AND c.version > s.version)
