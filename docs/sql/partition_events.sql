-- Makes events.events a table of partitions by ranges of positions, the rows where they are. For the day that
-- one table is too much for VACUUM, an index or a disk; how and why: docs/operations.md. Of psql:
--
--     psql --set bound=100000000 --file docs/sql/partition_events.sql "$EVENT_STORE_URL"
--
-- "bound": the first position that will not fit into the first partition; well above the newest position.
-- The scan that proves it happens while everything goes on; the change itself holds the table for a moment.
\set ON_ERROR_STOP on
ALTER TABLE events.events ADD CONSTRAINT events_p0_bound CHECK (position < :bound) NOT VALID;
ALTER TABLE events.events VALIDATE CONSTRAINT events_p0_bound;

BEGIN;
SET LOCAL lock_timeout = '3s';
LOCK TABLE events.events IN ACCESS EXCLUSIVE MODE;
-- positions go on where they are: a number that was given out is never given out again
SELECT last_value + is_called::integer AS next_position FROM events.events_position_seq \gset
ALTER TABLE events.events RENAME TO events_p0;
ALTER TABLE events.events_p0 ALTER COLUMN position DROP IDENTITY;
ALTER INDEX events.events_pkey RENAME TO events_p0_pkey;
ALTER INDEX events.events_checkpoints RENAME TO events_p0_checkpoints;
ALTER INDEX events.events_recorded_at RENAME TO events_p0_recorded_at;
ALTER INDEX events.events_privacy_fence RENAME TO events_p0_privacy_fence;
ALTER INDEX events.events_feed_marks RENAME TO events_p0_feed_marks;
-- the product knows a conflict of versions by the beginning of this name
ALTER INDEX events.events_stream_version RENAME TO events_stream_version_p0;
DROP TRIGGER events_are_never_updated ON events.events_p0;
DROP TRIGGER events_are_deleted_by_retention_only ON events.events_p0;

-- Every unique key of a partitioned table has to carry the position. (stream, version) is unique in each
-- partition, and between them because only one of them is written to at a time: next_partition.sql moves on
-- from one to the next while nobody writes.
CREATE TABLE events.events (
    position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    stream bigint NOT NULL,
    version integer NOT NULL CONSTRAINT events_version_check CHECK (version > 0),
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    type text NOT NULL,
    schema smallint NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (position);
ALTER TABLE events.events ALTER COLUMN position RESTART WITH :next_position;
CREATE INDEX events_checkpoints ON events.events (stream, version) WHERE type = 'UserCheckpoint';
CREATE INDEX events_recorded_at ON events.events USING brin (recorded_at);
CREATE INDEX events_privacy_fence ON events.events (position)
    WHERE type IN ('PrivacyChanged', 'EventsRemoved', 'UserCheckpoint');
CREATE INDEX events_feed_marks ON events.events (position) WHERE type = 'FeedMarked';
CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events.events
    FOR EACH STATEMENT EXECUTE FUNCTION events.refuse_update();
CREATE TRIGGER events_are_deleted_by_retention_only BEFORE DELETE ON events.events
    FOR EACH STATEMENT EXECUTE FUNCTION events.refuse_delete();
ALTER TABLE events.events ATTACH PARTITION events.events_p0 FOR VALUES FROM (MINVALUE) TO (:bound);
ALTER TABLE events.events_p0 DROP CONSTRAINT events_p0_bound;
COMMIT;
