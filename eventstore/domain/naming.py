"""Which episode is meant where a device names it by less than feed and GUID."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import episode_key, guid_key_of, has_guid, parts_of_item


class EpisodeName(NamedTuple):
    """An episode as a device names it: ``feed`` may be left out where only one of the known has that item."""

    feed: str | None
    item: str


class Episode(NamedTuple):
    feed: str
    item: str


def choose(known: Iterable[Episode], name: EpisodeName) -> EpisodeName:
    """The episode of ``known`` that is meant, as far as it can be told; the item stays as it was spelt.

    An enclosure without a GUID is the one episode that is known to have it. Raises ``DomainError``
    ``ambiguous_item`` where the feed is left out and several feeds have the item.
    """
    if name.feed is not None and has_guid(name.item):
        return name
    guid_key = guid_key_of(name.item)
    here = [one for one in known if name.feed in (None, one.feed)]
    same = [one for one in here if guid_key_of(one.item) == guid_key]
    found = {episode_key(*one): Episode(one.feed, name.item) for one in same}
    if not found and not has_guid(name.item):
        found = {episode_key(*one): one for one in _with_enclosure(here, name.item)}
    if len(found) == 1:
        (one,) = found.values()
        return EpisodeName(*one)
    if found and name.feed is None:
        detail = "Several feeds that you know have this episode: give the feed as well."
        raise DomainError("ambiguous_item", detail)
    return name


def _with_enclosure(known: Iterable[Episode], item: str) -> Iterator[Episode]:
    _, enclosure_url = parts_of_item(item)
    return (one for one in known if parts_of_item(one.item)[1] == enclosure_url)
