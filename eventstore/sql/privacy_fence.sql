-- The newest event that may take something out of public sight: whoever shows anything to the public must have
-- come that far. The types are those of the indexes events_privacy_fence and events_feed_marks.
SELECT greatest(coalesce(max(position), 0), (SELECT coalesce(max(position), 0) FROM events.events
                                              WHERE type = 'FeedMarked'))
  FROM events.events WHERE type IN ('PrivacyChanged', 'EventsRemoved', 'UserCheckpoint')
