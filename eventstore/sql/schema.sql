CREATE TABLE events.streams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tombstone timestamptz
);

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

-- Events are facts. Statement triggers: they cost an append nothing, and TRUNCATE (the reset command, the
-- tests) does not fire them.
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

CREATE TABLE events.snapshots (
    stream bigint PRIMARY KEY,
    version integer NOT NULL,
    position bigint NOT NULL,
    schema smallint NOT NULL,
    state bytea NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

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
