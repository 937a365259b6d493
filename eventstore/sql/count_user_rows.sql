-- What of the log says something of somebody. A reset leaves what says nothing: a checkpoint that holds nothing for
-- each listener (begin_streams.sql), the trim of what the public saw, and tombstones (administration.CLOSE_STREAMS).
SELECT (SELECT count(*) FROM events.events
         WHERE type <> 'PublicHistoryTrimmed'
           AND NOT (type = 'UserCheckpoint' AND data - 'user_id' - 'taken_at' = '{}')),
       (SELECT count(*) FROM events.snapshots WHERE version < 2147483647)
