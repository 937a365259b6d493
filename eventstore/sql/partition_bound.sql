-- The first position that has no place in a log in partitions (docs/sql). NULL where there is room for all: in one
-- table, in a partition without an end, in one for all that fits nowhere else.
SELECT CASE WHEN bool_and(bound IS NOT NULL) THEN max(bound)::bigint END
  FROM (SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''?(\d+)''?\)$')::numeric AS bound
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'events.events'::regclass) partition
