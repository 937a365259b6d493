"""The registry of topics, with one line for each. The state, syncs, checkpoints, removals, the history, the
codec, exports, the API and the projectors iterate over it."""

from collections.abc import MutableMapping
from typing import Final, get_type_hints

from eventstore.domain.collections import Collections
from eventstore.domain.devices import Devices
from eventstore.domain.episode_actions import EpisodeActions
from eventstore.domain.held_removals import HeldRemovals
from eventstore.domain.messages import Command, Event, Owned
from eventstore.domain.playlists import Playlists
from eventstore.domain.plays import Plays
from eventstore.domain.privacy import Privacy
from eventstore.domain.saved import Saved
from eventstore.domain.settings import AllSettings
from eventstore.domain.subscriptions import Subscriptions
from eventstore.domain.times import NEVER
from eventstore.domain.topic import Topic

# Changes whenever the shape of an entry does; the stored entries are then folded from the log again.
STATE_SCHEMA: Final = 1
# keys of entries, by topic
Keys = dict[str, tuple[str, ...]]
WITHOUT_GUID: Final = "without_guid"


class Topics(Owned, frozen=True, omit_defaults=True):
    """The entries of every topic, by their keys."""

    subscriptions: Subscriptions = {}
    plays: Plays = {}
    saved: Saved = {}
    playlists: Playlists = {}
    collections: Collections = {}
    privacy: Privacy = {}
    devices: Devices = {}
    episode_actions: EpisodeActions = {}
    settings: AllSettings = {}
    held_removals: HeldRemovals = {}


TOPICS: tuple[Topic, ...] = tuple(
    hint.__metadata__[0]
    for hint in get_type_hints(Topics, include_extras=True).values()
    if hasattr(hint, "__metadata__")
)
OF_COMMAND: dict[type[Command], Topic] = {command: topic for topic in TOPICS for command in topic.commands}
OF_EVENT: dict[type[Event], Topic] = {event: topic for topic in TOPICS for event in topic.events}


class User(Topics, frozen=False):  # type: ignore[misc]  # it shares the fields, and is changed
    """The state of one listener. ``evolve`` changes it in place, because a copy per event would make a replay
    quadratic. ``without_guid``: the keys of the episodes of which only an enclosure is known."""

    without_guid: MutableMapping[str, bool] = {}

    def copy(self) -> "User":
        """Return a copy of the state that can be changed."""
        same = {topic.name: topic.register.prune(getattr(self, topic.name), NEVER) for topic in TOPICS}
        return User(self.user_id, without_guid=dict(self.without_guid), **same)

    @property
    def size(self) -> int:
        """How many entries the state holds."""
        return sum(topic.register.size(getattr(self, topic.name)) for topic in TOPICS)
