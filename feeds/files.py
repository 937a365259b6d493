"""Look up GUID and duration of episodes that apps name only by the addresses of their files."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.domain.identifiers import feed_key_of, parts_of_item
from feeds.details import item_in
from projections.connect import run

# a file that two episodes share yields no result
FILES = """
SELECT alias.feed_key, episode.enclosure_url, episode.guid, min(episode.guid), max(episode.duration), count(*)
  FROM "system"."feed_aliases" AS alias
  JOIN "system"."feeds" AS named ON named.id = alias.feed_id
  JOIN "system"."episodes" AS episode ON episode.feed_id IN (named.id, named.merged_into_id)
 WHERE alias.feed_key = ANY(%(feeds)s)
   AND (episode.enclosure_url = ANY(%(urls)s) OR episode.guid = ANY(%(guids)s))
 GROUP BY GROUPING SETS ((1, 2), (1, 3))
"""


class File(NamedTuple):
    guid: str
    duration: int | None


def files(names: Collection[tuple[str, str]]) -> dict[tuple[str, str], File]:
    """Return what is known of these episodes, by their names (normalised feed and item)."""
    parts = {name: parts_of_item(name[1]) for name in names}
    values = {
        "feeds": [UUID(feed_key_of(feed)) for feed in {feed for feed, _ in names}],
        "urls": [url for guid, url in parts.values() if url and not guid],
        "guids": [guid for guid, _ in parts.values() if guid],
    }
    by_url: dict[tuple[UUID, str], File] = {}
    by_guid: dict[tuple[UUID, str], File] = {}
    row: Any
    for row in run(FILES, values, "system"):
        key, url, guid, of_file, duration, count = row
        if url is not None and count == 1:
            by_url[key, url] = File(of_file, duration)
        elif guid:
            by_guid[key, guid] = File(guid, duration)
    found = {}
    for name, (guid, url) in parts.items():
        key = UUID(feed_key_of(name[0]))
        known = by_guid.get((key, guid)) if guid else by_url.get((key, url))
        if known is not None:
            found[name] = known
    return found


def named(item: str, file: File | None) -> str:
    """Add to an item the GUID that its feed gives for its file, if any: this is the feed's own name for the
    episode, without the address where both together are too long."""
    if file is None or not file.guid:
        return item
    return item_in(file.guid, parts_of_item(item)[1]) or item
