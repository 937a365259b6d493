-- Faults in the order of each stream, in one snapshot of the database: a version missing since its newest
-- checkpoint (since 1 where it has none; retention deletes below a checkpoint), positions that do not rise
-- with the versions, events of a stream that nobody opened. The instance's own stream has gaps legitimately,
-- and a tombstoned one is being purged. The index is read page by page, with no other lock than any reader's.
WITH judged AS (
    SELECT e.stream, e.version, e.position, s.name,
           lag(e.version) OVER one AS before, lag(e.position) OVER one AS earlier,
           coalesce((SELECT max(c.version) FROM events.events c
                      WHERE c.stream = e.stream AND c.type = 'UserCheckpoint'), 0) AS base
      FROM events.events e LEFT JOIN events.streams s ON s.id = e.stream
     WHERE s.tombstone IS NULL
    WINDOW one AS (PARTITION BY e.stream ORDER BY e.version))
SELECT stream, version, position,
       CASE WHEN name IS NULL THEN 'unknown' WHEN position < earlier THEN 'order' ELSE 'gap' END
  FROM judged
 WHERE position < earlier
    OR name IS NULL AND before IS NULL
    OR starts_with(name, 'user-') AND version > greatest(base, 1) AND version > coalesce(before, 0) + 1
 ORDER BY position
