-- As privacy_fence, for whoever reads a replica of the read models. An erased account's rows are deleted beside the
-- log; the trim that follows (projections/erasure.py) is recorded once they are gone, and so is applied after that.
SELECT greatest(coalesce(max(position), 0), (SELECT coalesce(max(position), 0) FROM events.events
                                              WHERE type = 'FeedMarked'),
                                            (SELECT coalesce(max(position), 0) FROM events.events
                                              WHERE type = 'PublicHistoryTrimmed'))
  FROM events.events WHERE type IN ('PrivacyChanged', 'EventsRemoved', 'UserCheckpoint')
