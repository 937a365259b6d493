-- How many events follow each position, and how long the first of them has waited. Beyond 10,000 the distance
-- between positions stands for the number, less the gaps that restores have left: there are nearly no other
-- gaps, and counting would take long.
SELECT CASE WHEN near.events <= 10000 THEN near.events
            ELSE greatest(near.events, head.position - known.position - (
                SELECT coalesce(sum(next - 1 - restores.head), 0) FROM events.restores
                WHERE restores.head >= known.position AND next <= head.position)::bigint) END,
       coalesce(extract(epoch FROM clock_timestamp() - first.recorded_at), 0)::double precision
  FROM unnest(%s::bigint[]) WITH ORDINALITY AS known (position, number)
 CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM events.events) AS head
 CROSS JOIN LATERAL (SELECT count(*) AS events
                       FROM (SELECT FROM events.events WHERE position > known.position
                              ORDER BY position LIMIT 10001) AS counted) AS near
  LEFT JOIN LATERAL (SELECT recorded_at FROM events.events WHERE position > known.position
                      ORDER BY position LIMIT 1) AS first ON true
 ORDER BY known.number
