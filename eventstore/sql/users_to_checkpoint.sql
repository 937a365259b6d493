-- Users with events from before the cutoff that no checkpoint of theirs covers.
SELECT s.name
FROM (SELECT stream, max(version) AS version FROM events.events WHERE recorded_at < {cutoff} GROUP BY stream) old
JOIN events.streams s ON s.id = old.stream AND s.tombstone IS NULL AND starts_with(s.name, 'user-')
WHERE old.version > coalesce(
    (SELECT max(version) FROM events.events c WHERE c.stream = old.stream AND c.type = 'UserCheckpoint'), 0)
ORDER BY s.id
