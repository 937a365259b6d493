"""What is known of an episode, in all topics: which one a command means, and that two of them are one.

A device without GUIDs names an episode by its enclosure. Once another device names GUID and enclosure of the
same feed, ``EpisodeIdentified`` joins what is known of both, by the ordinary merge of each topic.
"""

from collections.abc import Iterable, Iterator
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

# So many digests (3 µs each) are made without a look, through the whole state, at whether one is needed.
FEW = 100
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
    _join(user, event.known_key, event.key, event.rss_source_item)


def _join(user: User, known_key: str, key: str, item: str) -> None:
    for topic in TOPICS:
        topic.register.join(getattr(user, topic.name), known_key, key, item)


def identified(user: Topics, command: Any) -> list[EpisodeIdentified]:
    """Which of the episodes that a command names were known by their enclosures alone."""
    events: dict[str, EpisodeIdentified] = {}
    is_large = hasattr(command, "sent") and command.sent.size > FEW
    if is_large and not _is_any_without_guid(user):
        return []
    for feed, item in named_by(command):
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


def named_by(command: Any) -> Iterable[Episode]:
    """The episodes that a command names with their feeds."""
    if hasattr(command, "sent"):
        return known(command.sent)
    feed, item = getattr(command, "feed", None), getattr(command, "item", None)
    return () if feed is None or item is None else (Episode(feed, item),)


def resolve(user: Topics, command: C) -> C:
    """The command in terms of the episodes that are known. Raises ``DomainError`` ``ambiguous_item``."""
    if hasattr(command, "sent"):
        sent = _resolve_sent(user, command.sent)
        return command if sent is command.sent else msgspec.structs.replace(command, resolved=sent)
    item = getattr(command, "item", None)
    if item is None:
        return command
    found = find(user, command.feed, item)  # type: ignore[attr-defined]  # as the item has
    return msgspec.structs.replace(command, feed=found.feed, item=found.item)


def _resolve_sent(user: Topics, sent: User) -> User:
    """What a device says, where an enclosure that one GUID alone has in its feed is that episode."""
    if not _is_any_without_guid(sent):
        return sent
    unknown = {
        one
        for one in known(sent)
        if not has_guid(one.item) and not is_known(user, episode_key(one.feed, one.item))
    }
    found: dict[Episode, dict[str, str]] = {}
    for feed, item in (*known(user), *known(sent)) if unknown else ():
        guid, enclosure_url = parts_of_item(item)
        alone = Episode(feed, enclosure_only(item)) if guid and enclosure_url else None
        if alone in unknown:
            found.setdefault(alone, {})[guid] = item
    resolved = sent.copy()
    for alone, items in found.items():
        if len(items) == 1:
            (item,) = items.values()
            _join(resolved, episode_key(*alone), episode_key(alone.feed, item), item)
    return resolved


def _is_any_without_guid(user: Topics) -> bool:
    return any(
        item is not None and not has_guid(item)
        for topic in TOPICS
        for item in topic.register.items(getattr(user, topic.name))
    )
