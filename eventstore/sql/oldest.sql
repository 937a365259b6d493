-- Positions rise with time, so the first event is the oldest, but for clocks that were set back.
SELECT recorded_at FROM events.events ORDER BY position LIMIT 1
