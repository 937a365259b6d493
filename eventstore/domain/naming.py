"""Determines which episode is meant where a device gives less than feed and GUID."""

import binascii
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import episode_key, has_guid, parts_of_item


class EpisodeName(NamedTuple):
    """An episode as a device names it; ``feed`` may be left out where only one known feed has the item."""

    feed: str | None
    item: str


class Episode(NamedTuple):
    feed: str
    item: str


def choose(known: Iterable[Episode], name: EpisodeName) -> EpisodeName:
    """Return the episode of ``known`` that is meant, as far as that can be determined; the item keeps its
    spelling.

    An enclosure without a GUID means the one episode that is known to have it. Raises ``DomainError``
    ``ambiguous_item`` where the feed is left out and several feeds have the item.
    """
    if name.feed is not None and has_guid(name.item):
        return name
    here = (one for one in known if name.feed in (None, one.feed))
    if has_guid(name.item):
        found = {episode_key(*one): Episode(one.feed, name.item) for one in _with_guid(here, name.item)}
    else:
        found = _by_enclosure(here, name.item)
    if len(found) == 1:
        (one,) = found.values()
        return EpisodeName(*one)
    if found and name.feed is None:
        detail = "Several feeds that you know have this episode: give the feed as well."
        raise DomainError("ambiguous_item", detail)
    return name


def _with_guid(known: Iterable[Episode], item: str) -> Iterator[Episode]:
    guid, _ = parts_of_item(item)
    # all items of a GUID start alike, which is faster to compare than decoding every item of a long history
    alike = binascii.b2a_base64(guid.encode()[: len(guid.encode()) // 3 * 3], newline=False).decode()
    return (one for one in known if one.item.startswith(alike) and parts_of_item(one.item)[0] == guid)


def _by_enclosure(known: Iterable[Episode], item: str) -> dict[str, Episode]:
    """Return the episodes that are known by this enclosure alone, or else those that have it."""
    _, enclosure_url = parts_of_item(item)
    having = [one for one in known if parts_of_item(one.item)[1] == enclosure_url]
    alone = [Episode(one.feed, item) for one in having if not has_guid(one.item)]
    return {episode_key(*one): one for one in alone or having}
