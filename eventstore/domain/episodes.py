"""What is known of an episode in all topics: which one a command means, and when two of them turn out to be
one.

A device without GUIDs names an episode by its enclosure. Once another device names GUID and enclosure of the
same feed, ``EpisodeIdentified`` joins what is known of both, by the ordinary merge of each topic.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec

from eventstore.domain.batch import Batch
from eventstore.domain.identifiers import (
    enclosure_key,
    enclosure_only,
    episode_key,
    has_guid,
    parts_of_item,
)
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import Episode, EpisodeName, choose
from eventstore.domain.partial import holding
from eventstore.domain.topics import TOPICS, Topics, User

# Up to this many digests are computed right away, at 2 µs each; before computing more, it is checked whether
# there is anything to compare them with.
FEW = 100
C = TypeVar("C", bound=Command)


class EpisodeIdentified(Event, frozen=True, kw_only=True, gc=False):
    """``known_item``, which is an enclosure without a GUID, was found to be ``rss_source_item``."""

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


def known(user: Topics, text: str = "") -> Iterator[Episode]:
    """Yield every episode of which something is known, once per entry; given a ``text``, at least those whose
    GUIDs or enclosures contain it."""
    for topic in TOPICS:
        for feed, item in topic.register.about(holding(getattr(user, topic.name), text)):
            if feed is not None and item is not None:
                yield Episode(feed, item)


def keys_without_guid(user: Topics) -> Iterator[str]:
    """Return the keys of the episodes of which only an enclosure is known."""
    return (
        episode_key(*one)
        for topic in TOPICS
        for one in topic.register.without_guid(getattr(user, topic.name))
    )


def find(user: User, feed: str | None, item: str) -> EpisodeName:
    """Return the episode that a device means; see ``choose``."""
    if feed is not None and (has_guid(item) or episode_key(feed, item) in user.without_guid):
        return EpisodeName(feed, item)
    guid, enclosure_url = parts_of_item(item)
    return choose(known(user, guid or enclosure_url), EpisodeName(feed, item))


def identify(user: User, event: EpisodeIdentified) -> None:
    """Join what is known of the two episodes, in place."""
    _join(user, event.known_key, event.key, event.rss_source_item)
    user.without_guid.pop(event.known_key, None)


def note(user: User, feed: str, item: str) -> None:
    """Note that only an enclosure is known of an episode, where that is so."""
    if not has_guid(item):
        key = episode_key(feed, item)
        if key not in user.without_guid:
            user.without_guid[key] = True


def _join(user: User, known_key: str, key: str, item: str) -> None:
    for topic in TOPICS:
        topic.register.join(getattr(user, topic.name), known_key, key, item)


def identified(user: User, command: Any) -> list[EpisodeIdentified]:
    """Return an event for each episode that a command names and that was known by its enclosure alone."""
    events: dict[str, EpisodeIdentified] = {}
    if _is_large(command) and not user.without_guid:
        return []
    for feed, item in named_by(command):
        key = enclosure_key(feed, item)
        # if two GUIDs have one enclosure, the first of them gets it
        if key is not None and key not in events and key in user.without_guid:
            events[key] = EpisodeIdentified(
                user_id=command.user_id,
                rss_source_feed=feed,
                known_item=enclosure_only(item),
                rss_source_item=item,
                identified_at=command.now,
            )
    return list(events.values())


def keys_of_enclosures(command: Any) -> Iterator[str]:
    """Yield the keys under which the episodes that a command names may be known by an enclosure alone. Yields
    none for a large sync, for which ``identified`` checks whether there is any such episode at all."""
    for feed, item in () if _is_large(command) else named_by(command):
        key = enclosure_key(feed, item) if has_guid(item) else episode_key(feed, item)
        if key is not None:
            yield key


def named_by(command: Any) -> Iterable[Episode]:
    """Return the episodes that a command names together with their feeds."""
    if hasattr(command, "sent"):
        return known(command.sent)
    if isinstance(command, Batch):
        return (one for order in command.orders for one in named_by(order))
    feed, item = getattr(command, "feed", None), getattr(command, "item", None)
    return () if feed is None or item is None else (Episode(feed, item),)


def resolve(user: User, command: C) -> C:
    """Return the command in terms of the episodes that are known. Raises ``DomainError``
    ``ambiguous_item``."""
    if hasattr(command, "sent"):
        sent = _resolve_sent(user, command)
        return command if sent is command.sent else msgspec.structs.replace(command, resolved=sent)
    if isinstance(command, Batch):
        return cast(C, _resolve_orders(user, command))
    item = getattr(command, "item", None)
    if item is None:
        return command
    named = EpisodeName(command.feed, item)  # type: ignore[attr-defined]  # as the item has
    found = find(user, *named)
    return command if found == named else msgspec.structs.replace(command, feed=found.feed, item=found.item)


def _resolve_sent(user: User, command: Any) -> User:
    """Return what a device says, with an enclosure replaced by its episode where only one GUID of the feed
    has it."""
    sent: User = command.sent
    unknown = {one for one in command.without_guid if episode_key(*one) not in user.without_guid}
    if not unknown:
        return sent
    resolved = sent.copy()
    for alone, item in _with_guids(user, unknown, known(sent)).items():
        _join(resolved, episode_key(*alone), episode_key(alone.feed, item), item)
    return resolved


def _resolve_orders(user: User, batch: Batch) -> Batch:
    """Do the same for the orders of a batch."""
    unknown = {
        one
        for one in named_by(batch)
        if not has_guid(one.item) and episode_key(*one) not in user.without_guid
    }
    found = _with_guids(user, unknown, named_by(batch)) if unknown else {}
    if not found:
        return batch
    orders = []
    for order in batch.orders:
        named = next(iter(named_by(order)), None)
        item = found.get(named) if named else None
        orders.append(order if item is None else msgspec.structs.replace(order, item=item))
    return msgspec.structs.replace(batch, orders=tuple(orders))


def _with_guids(user: User, unknown: set[Episode], beside: Iterable[Episode]) -> dict[Episode, str]:
    """Map enclosures without a GUID to the items that they stand for: those whose GUID is the only one in its
    feed with that enclosure, among what is known or named in ``beside``."""
    found: dict[Episode, dict[str, str]] = {}
    # for a single enclosure, read the episodes that have it; for several, whatever is known
    text = parts_of_item(next(iter(unknown)).item)[1] if len(unknown) == 1 else ""
    for feed, item in (*known(user, text), *beside):
        guid, enclosure_url = parts_of_item(item)
        alone = Episode(feed, enclosure_only(item)) if guid and enclosure_url else None
        if alone in unknown:
            found.setdefault(alone, {})[guid] = item
    return {alone: next(iter(items.values())) for alone, items in found.items() if len(items) == 1}


def _is_large(command: Any) -> bool:
    if isinstance(command, Batch):
        return len(command.orders) > FEW
    return hasattr(command, "sent") and command.sent.size > FEW
