-- The newest play of each device and episode of a feed, among the newest events of a stream.
SELECT DISTINCT ON (data->>'rss_source_item', metadata->>'app_id', metadata->>'device_id', metadata->>'device_name')
       position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM (SELECT * FROM events.events WHERE stream = %s ORDER BY version DESC LIMIT %s) AS newest
 WHERE type IN ('PlayRecorded', 'PositionUpdated') AND data->>'rss_source_feed' = %s
 ORDER BY data->>'rss_source_item', metadata->>'app_id', metadata->>'device_id', metadata->>'device_name',
          version DESC
