"""What is known of an episode, in all topics: which one a command means, and that two of them are one.

A device without GUIDs names an episode by its enclosure. Once another device names GUID and enclosure of the
same feed, ``EpisodeIdentified`` joins what is known of both, by the ordinary merge of each topic.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from eventstore.domain.identifiers import (
    enclosure_key,
    enclosure_only,
    episode_key,
    has_guid,
    parts_of_item,
)
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import Episode, EpisodeName, choose
from eventstore.domain.topics import TOPICS, Topics, User

MANY = 100
C = TypeVar("C", bound=Command)


class EpisodeIdentified(Event, frozen=True, kw_only=True, gc=False):
    """``known_item``, which is an enclosure without a GUID, is ``rss_source_item``."""

    rss_source_feed: str
    known_item: str
    rss_source_item: str
    identified_at: datetime

    @property
    def known_key(self) -> str:
        return episode_key(self.rss_source_feed, self.known_item)

    @property
    def key(self) -> str:
        return episode_key(self.rss_source_feed, self.rss_source_item)


def known(user: Topics) -> Iterator[Episode]:
    """Every episode of which something is known, once for each thing."""
    for topic in TOPICS:
        for feed, item in topic.register.about(getattr(user, topic.name)):
            if feed is not None and item is not None:
                yield Episode(feed, item)


def find(user: Topics, feed: str | None, item: str) -> EpisodeName:
    """The episode that a device means; see ``choose``."""
    if feed is not None and (has_guid(item) or is_known(user, episode_key(feed, item))):
        return EpisodeName(feed, item)
    return choose(known(user), EpisodeName(feed, item))


def is_known(user: Topics, key: str) -> bool:
    return any(topic.register.keys_of_episode(getattr(user, topic.name), key) for topic in TOPICS)


def identify(user: User, event: EpisodeIdentified) -> None:
    """Join what is known of the two, in place."""
    for topic in TOPICS:
        entries = getattr(user, topic.name)
        topic.register.join(entries, event.known_key, event.key, event.rss_source_item)


def identified(user: Topics, named: Iterable[Episode], command: Any) -> list[EpisodeIdentified]:
    """Which of the episodes that a command names were known by their enclosures alone."""
    events: dict[str, EpisodeIdentified] = {}
    named = list(named)
    # of thousands each digest counts: where nothing is known by its enclosure alone, none is made
    alone = len(named) < MANY or any(not has_guid(one.item) for one in known(user))
    for feed, item in named if alone else ():
        key = enclosure_key(feed, item)
        # of two GUIDs with one enclosure the first has it
        if key is not None and key not in events and is_known(user, key):
            events[key] = EpisodeIdentified(
                user_id=command.user_id,
                rss_source_feed=feed,
                known_item=enclosure_only(item),
                rss_source_item=item,
                identified_at=command.now,
            )
    return list(events.values())


def named_by(command: Any) -> Iterator[Episode]:
    """The episodes that a command names with their feeds."""
    feed, item = getattr(command, "feed", None), getattr(command, "item", None)
    if feed is not None and item is not None:
        yield Episode(feed, item)
    for topic in TOPICS:
        for named in topic.register.named_in(getattr(command, topic.plural, ())):
            yield Episode(*named)


def resolve(user: Topics, command: C) -> C:
    """The command in terms of the episodes that are known. Raises ``DomainError`` ``ambiguous_item``."""
    item = getattr(command, "item", None)
    if item is not None:
        found = find(user, command.feed, item)  # type: ignore[attr-defined]  # as the item has
        return msgspec.structs.replace(command, feed=found.feed, item=found.item)
    if any(not has_guid(named.item) for named in named_by(command)):
        return _resolve_payload(user, command)
    return command


def _resolve_payload(user: Topics, command: C) -> C:
    rename = _renaming(user, command)
    lists = {
        topic.plural: topic.register.renamed_in(getattr(command, topic.plural), rename) for topic in TOPICS
    }
    return msgspec.structs.replace(command, **lists)


def _renaming(user: Topics, command: Command) -> Callable[[str, str], str]:
    """What gives the item of an enclosure that one GUID alone has in its feed."""
    items: dict[Episode, dict[str, str]] = {}
    for feed, item in (*known(user), *named_by(command)):
        guid, enclosure_url = parts_of_item(item)
        if guid and enclosure_url:
            items.setdefault(Episode(feed, enclosure_url), {})[guid] = item

    def rename(feed: str, item: str) -> str:
        if has_guid(item) or is_known(user, episode_key(feed, item)):
            return item
        found = items.get(Episode(feed, parts_of_item(item)[1]), {})
        return next(iter(found.values())) if len(found) == 1 else item

    return rename
