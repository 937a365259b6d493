-- The first position that no partition of the log holds (docs/sql). NULL where there is room for every
-- position: in an unpartitioned table, a partition without an upper bound, or a default partition.
SELECT CASE WHEN bool_and(bound IS NOT NULL) THEN max(bound)::bigint END
  FROM (SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''?(\d+)''?\)$')::numeric AS bound
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'events.events'::regclass) partition
