-- What a checkpoint has replaced is never loaded again, and may hold what was removed since.
DELETE FROM events.snapshots s WHERE EXISTS (
    SELECT FROM events.events c WHERE c.stream = s.stream AND c.type = 'UserCheckpoint' AND c.version > s.version)
