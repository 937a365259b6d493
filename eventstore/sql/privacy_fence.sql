-- The newest event that may hide something from the public: whoever shows anything to the public must have
-- read up to it. The types are those of the indexes events_privacy_fence and events_feed_marks.
SELECT greatest(coalesce(max(position), 0), (SELECT coalesce(max(position), 0) FROM events.events
                                              WHERE type = 'FeedMarked'))
  FROM events.events WHERE type IN ('PrivacyChanged', 'EventsRemoved', 'UserCheckpoint')
