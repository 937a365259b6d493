-- The log's epoch stays: versions go on, so cursors mean what they meant.
INSERT INTO events.restores TABLE ended_restores
