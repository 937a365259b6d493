-- Every stream and the last version that anybody may know of it; also those whose row is lost.
CREATE TEMP TABLE ended_streams ON COMMIT DROP AS
SELECT coalesce(s.id, known.stream) AS id, s.name, s.created_at, s.tombstone, coalesce(known.version, 0) AS version
  FROM events.streams s
  FULL JOIN (SELECT stream, max(version) AS version
               FROM (SELECT stream, version FROM events.events
                     UNION ALL
                     SELECT stream, version FROM events.snapshots WHERE version < 2147483647) any_of_it
              GROUP BY stream) known ON known.stream = s.id
