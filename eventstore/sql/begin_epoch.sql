-- Both sequences continue beyond whatever the lost log may have assigned.
WITH log AS (
    SELECT coalesce(max(position), 0) AS head,
           greatest(max(position), %(known)s::bigint,
                    pg_sequence_last_value(pg_get_serial_sequence('events.events', 'position')::regclass))
               + %(gap)s::bigint AS last
    FROM events.events),
positions AS (SELECT setval(pg_get_serial_sequence('events.events', 'position'), last) FROM log),
streams AS (
    SELECT setval(pg_get_serial_sequence('events.streams', 'id'), %(gap)s::bigint
        + coalesce(greatest(max(id),
            pg_sequence_last_value(pg_get_serial_sequence('events.streams', 'id')::regclass)), 0))
    FROM events.streams)
INSERT INTO events.restores (epoch, head, next)
SELECT %(epoch)s::text, head, last + 1 FROM log, positions, streams RETURNING next
