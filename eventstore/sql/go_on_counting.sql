-- No number is given out twice. The next one is above what was given out, here or according to others.
SELECT setval('events.events_position_seq', greatest(%(position)s::bigint, 1), %(position)s::bigint > 0),
       setval('events.streams_id_seq', greatest(%(stream)s::bigint, 1), %(stream)s::bigint > 0)
