-- The entries of a topic whose items contain a text: a GUID or an enclosure.
SELECT topic, coalesce(nullif(name, ''), replace(key::text, '-', '')), state
FROM events.snapshots
WHERE stream = %(stream)s AND topic = %(topic)s
  AND position(convert_to(%(text)s, 'UTF8') IN decode(state::jsonb ->> 'item', 'base64')) > 0
