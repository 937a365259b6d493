-- The digests that are left of erased users; a second stream of one has its number behind it (bury.sql).
SELECT DISTINCT split_part(name, '-', 2) FROM events.streams WHERE tombstone IS NOT NULL
