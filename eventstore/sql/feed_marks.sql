-- The newest mark of each feed by each marker, or of one feed. There are few, and the index events_feed_marks
-- finds all of them.
SELECT DISTINCT ON (data ->> 'feed_key', data ->> 'marked_by') type, schema, data::text
  FROM events.events
 WHERE type = 'FeedMarked' AND (%(feed_key)s::text IS NULL OR data ->> 'feed_key' = %(feed_key)s)
 ORDER BY data ->> 'feed_key', data ->> 'marked_by', position DESC
