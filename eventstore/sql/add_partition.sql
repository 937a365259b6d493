-- As docs/sql/next_partition.sql.
CREATE TABLE {table} PARTITION OF events.events FOR VALUES FROM ({bound}) TO ({to});
ALTER TABLE {table} ADD CONSTRAINT {versions} UNIQUE (stream, version)
