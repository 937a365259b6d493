-- Under its name, or under the digest that is left of an erased one.
SELECT id, tombstone FROM events.streams WHERE name = ANY(%s) ORDER BY tombstone NULLS LAST LIMIT 1
