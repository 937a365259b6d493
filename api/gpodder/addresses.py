"""Addresses of feeds as each device spells what it is told."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec

from api.gpodder.access import Call
from eventstore import entries, log
from eventstore.domain.identifiers import url_of_feed
from eventstore.domain.settings import SPELLING, ChangeSettings, Settings, scope_of
from feeds.spelling import Address, Corrections, episode_address, feed_address

__all__ = ["Address", "Corrections", "Spellings", "episode_address", "feed_address"]

_SETTINGS = msgspec.json.Decoder(Settings).decode


class Spellings:
    """How a device spells the addresses of feeds, where it is not as they are kept."""

    def __init__(self, user_id: UUID, device: str) -> None:
        self._device = device
        self._own: dict[str, str] = dict(_own(user_id, device)) if device else {}

    def url(self, feed: str) -> str:
        return self._own.get(feed) or url_of_feed(feed)

    def knows(self, feed: str) -> bool:
        """Whether the device has named this feed."""
        return feed in self._own

    def orders(
        self, call: Call, sent: Iterable[tuple[str, str]], *, also_same: bool = False
    ) -> Iterator[Any]:
        """What remembers the spellings of feeds that came: pairs of feed and address. ``also_same``: those
        that are spelt as they are kept, too."""
        for feed, url in sent:
            usual = self._own.get(feed) or ("" if also_same else url_of_feed(feed))
            if url != usual:
                named = {"device": self._device, "feed": feed}
                yield call.order(ChangeSettings, set={SPELLING: url}, **named)


def _own(user_id: UUID, device: str) -> Iterator[tuple[str, str]]:
    prefix = f"{scope_of(device)}:"
    for _, key, text in entries.read_topic(log.stream_of(user_id), "settings"):
        if key.startswith(prefix):
            settings = _SETTINGS(text)
            url = settings.values.get(SPELLING)
            if settings.feed is not None and isinstance(url, str):
                yield settings.feed, url
