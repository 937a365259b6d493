"""Which events of a history an undo depends on: a listener may have tens of thousands, and the rest need not
be read."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.fields import EPISODE_KEY, FEED_KEY
from eventstore.domain.messages import Event
from eventstore.domain.subscriptions import UserUnsubscribed
from eventstore.domain.topics import OF_EVENT

# events that may concern entries of any topic
ALWAYS: Final[frozenset[type[Event]]] = frozenset({UserCheckpoint, EpisodeIdentified})


class Relevant(NamedTuple):
    """Events of ``types`` count whatever they are about, those of ``types_by_feed`` only where they are about
    one of these ``feeds`` (normalised ``rss_source_feed``)."""

    types: frozenset[type[Event]]
    types_by_feed: frozenset[type[Event]]
    feeds: frozenset[str]

    def has(self, event: Event) -> bool:
        if type(event) in self.types:
            return True
        return type(event) in self.types_by_feed and getattr(event, "rss_source_feed", None) in self.feeds


def relevant_to(chosen: Iterable[Event]) -> Relevant:
    """Return which events ``undoing.plan`` needs besides the ``chosen`` ones: those about the same entries.
    They are found by topic, and by feed where the feed is part of what identifies an entry."""
    types, types_by_feed, feeds = set(ALWAYS), set[type[Event]](), set[str]()
    for event in chosen:
        topic = OF_EVENT.get(type(event))
        if topic is None:
            continue
        if topic.register.key in (FEED_KEY, EPISODE_KEY):
            types_by_feed.update(topic.events)
            feeds.add(event.rss_source_feed)  # type: ignore[attr-defined]
            continue
        types.update(topic.events)
        if topic.name == "collections":
            # no podcast comes back into a collection that it left because it was unfollowed
            types.add(UserUnsubscribed)
    return Relevant(frozenset(types), frozenset(types_by_feed), frozenset(feeds))
