"""The folded state of one listener: a part for each topic."""

from uuid import UUID

import msgspec

from eventstore.domain.collections import Collections
from eventstore.domain.episodes import SavedEpisodes
from eventstore.domain.playlists import Playlists
from eventstore.domain.plays import PlayStatuses
from eventstore.domain.privacy import PrivacySettings
from eventstore.domain.subscriptions import Subscriptions


class User(msgspec.Struct):
    """``evolve`` changes it in place: a copy per event would be quadratic on replay."""

    user_id: UUID
    subscriptions: Subscriptions = {}
    plays: PlayStatuses = {}
    saved_episodes: SavedEpisodes = {}
    playlists: Playlists = {}
    collections: Collections = {}
    privacy: PrivacySettings = {}

    @property
    def size(self) -> int:
        """How many entries it holds: what it costs to keep."""
        lists = sum(len(one.items) for one in self.playlists.values())
        groups = sum(len(one.feeds) for one in self.collections.values())
        flat = len(self.subscriptions) + len(self.plays) + len(self.saved_episodes) + len(self.privacy)
        return flat + len(self.playlists) + lists + len(self.collections) + groups
