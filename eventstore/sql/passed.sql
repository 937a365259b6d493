-- How far every one of these projectors has come for good; 0 where one never said so.
SELECT CASE WHEN count(*) = cardinality(%(names)s::text[]) THEN min(position) ELSE 0 END
FROM events.projection_versions WHERE projector = ANY(%(names)s::text[])
