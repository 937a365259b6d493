-- Transactions that may still commit an event whose position is already drawn: the INSERT takes this lock
-- before it draws the position.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'events.events'::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
