-- Adds the next partition of events.events and lets positions go on in it. To be run well before the newest
-- position comes to the bound of the last partition: beyond it nothing can be recorded. Of psql:
--
--     psql --set number=1 --set from=100000000 --set to=200000000 --file docs/sql/next_partition.sql "$EVENT_STORE_URL"
--
-- "from" is the bound of the last partition (\d+ events.events shows it). The positions up to it are left out (a
-- gap, which every reader of the log passes as it passes one of a rolled-back append): so no two writers can
-- record the same version of a stream, one in either partition. "to" has to be above the newest position, else
-- nothing is changed: a restore leads positions far on (events.restores has how far).
\set ON_ERROR_STOP on
\set table events_p :number
\set versions events_stream_version_p :number
BEGIN;
SET LOCAL lock_timeout = '3s';
LOCK TABLE events.events IN ACCESS EXCLUSIVE MODE;
SELECT last_value + is_called::integer AS next_position FROM events.events_position_seq \gset
-- psql puts nothing into what stands between dollars
SELECT set_config('balados.next_position', :'next_position', true) \g /dev/null
SELECT set_config('balados.to', :'to', true) \g /dev/null
DO $$
DECLARE
    next_position bigint := current_setting('balados.next_position');
    upto bigint := current_setting('balados.to');
BEGIN
    IF upto <= next_position THEN
        RAISE EXCEPTION 'to is %, and the next event gets position %: it would find no partition',
            upto, next_position
            USING HINT = 'Nothing was changed. Let "to" be well above that position.';
    END IF;
END
$$;
CREATE TABLE events.:"table" PARTITION OF events.events FOR VALUES FROM (:from) TO (:to);
ALTER TABLE events.:"table" ADD CONSTRAINT :"versions" UNIQUE (stream, version);
-- and never back: after a restore positions may be beyond it
SELECT setval('events.events_position_seq', greatest(:from, :next_position), false);
COMMIT;
