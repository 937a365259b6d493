CREATE TABLE events.streams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tombstone timestamptz,
    -- the version of the shape of its entries in snapshots
    state_schema smallint NOT NULL DEFAULT 0,
    -- whether it has grown so much that the worker is to take a checkpoint soon
    checkpoint_due boolean NOT NULL DEFAULT false
);
CREATE INDEX streams_checkpoint_due ON events.streams (id) WHERE checkpoint_due;

CREATE TABLE events.events (
    position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    stream bigint NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    type text NOT NULL,
    schema smallint NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT events_stream_version UNIQUE (stream, version)
);

-- A stream is folded from its newest checkpoint.
CREATE INDEX events_checkpoints ON events.events (stream, version) WHERE type = 'UserCheckpoint';
-- Retention searches for old events. BRIN takes a few bytes per 128 pages and costs an append nothing.
CREATE INDEX events_recorded_at ON events.events USING brin (recorded_at);
-- Every public read needs the newest of these (privacy_fence.sql).
CREATE INDEX events_privacy_fence ON events.events (position)
    WHERE type IN ('PrivacyChanged', 'EventsRemoved', 'UserCheckpoint');
CREATE INDEX events_feed_marks ON events.events (position) WHERE type = 'FeedMarked';

-- Events are facts, so they are never updated. Statement triggers cost an append nothing, and TRUNCATE (used
-- by the reset command and the tests) does not fire them.
CREATE FUNCTION events.refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never updated' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION events.refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('balados.retention', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'events are deleted by the retention path only'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events.events
    FOR EACH STATEMENT EXECUTE FUNCTION events.refuse_update();
CREATE TRIGGER events_are_deleted_by_retention_only BEFORE DELETE ON events.events
    FOR EACH STATEMENT EXECUTE FUNCTION events.refuse_delete();

-- Delete what a listener withdraws, with the rights of the schema's owner: where the programs have roles of
-- their own (operations/grants.py), only the worker's role may delete events directly. Nothing is deleted but
-- what a removal recorded in the same transaction removes, and what has a tombstone.
CREATE FUNCTION events.delete_removed(of_stream bigint, versions integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM events.events WHERE stream = of_stream AND type = 'EventsRemoved'
                      AND recorded_at >= transaction_timestamp()) THEN
        RAISE EXCEPTION 'no removal says so' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    DELETE FROM events.events WHERE stream = of_stream AND version = ANY(versions);
END $$;

CREATE FUNCTION events.purge_erased(of_stream bigint, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    deleted bigint;
BEGIN
    DELETE FROM events.events WHERE position IN (
        SELECT position FROM events.events JOIN events.streams s ON s.id = stream
         WHERE stream = of_stream AND s.tombstone IS NOT NULL ORDER BY version LIMIT most);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;

REVOKE EXECUTE ON FUNCTION events.delete_removed, events.purge_erased FROM PUBLIC;

-- The newest entry of every topic and key, as JSON. ``name``: the key, where it is not its own digest. The
-- fill factor leaves room in each page, so that an entry is updated in place.
CREATE TABLE events.snapshots (
    stream bigint NOT NULL,
    topic text NOT NULL,
    key uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    PRIMARY KEY (stream, topic, key)
) WITH (fillfactor = 85);

CREATE TABLE events.projection_versions (
    projector text PRIMARY KEY,
    position bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE events.commands (
    stream bigint NOT NULL,
    id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    position bigint NOT NULL,
    version integer NOT NULL,
    answer bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, id)
);
CREATE INDEX commands_at ON events.commands (at);

-- Sync cursors are compared with these, because versions are assigned a second time after a restore.
-- ``next``: the first position assigned after it; there are never any positions between head and next.
CREATE TABLE events.restores (
    epoch text PRIMARY KEY CHECK (epoch <> ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    head bigint NOT NULL,
    next bigint NOT NULL CHECK (next > head)
);
