CREATE TEMP TABLE ended_restores ON COMMIT DROP AS TABLE events.restores
