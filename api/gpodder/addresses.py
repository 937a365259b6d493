"""Addresses of feeds and episodes as apps spell them, and as each device spells what it is told."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from api.gpodder.access import Call
from eventstore import entries, log
from eventstore.domain.identifiers import (
    LONGEST_ITEM,
    InvalidIdentifier,
    feed_of_url,
    normalise_url,
    url_of_feed,
)
from eventstore.domain.settings import SPELLING, ChangeSettings, Settings, scope_of

SHORTEST: Final = 8
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9_+.-]*:")
_SETTINGS = msgspec.json.Decoder(Settings).decode


class Address(NamedTuple):
    """What an address that was sent is kept as; empty, with the reason, where it is refused."""

    kept: str
    reason: str = ""

    @property
    def feed(self) -> str:
        return feed_of_url(self.kept)


def feed_address(sent: Any) -> Address:
    return _feed_address(sent) if isinstance(sent, str) else Address("", "not_a_string")


def episode_address(sent: Any) -> Address:
    return _address(sent, LONGEST_ITEM) if isinstance(sent, str) else Address("", "not_a_string")


@lru_cache(maxsize=8_192)
def _feed_address(sent: str) -> Address:
    return _address(sent)


def _address(sent: str, *longest: int) -> Address:
    text = sent.strip()
    if len(text) < SHORTEST:
        return Address("", "too_short")
    try:
        # an address without a scheme is one of the web
        return Address(normalise_url(text if _SCHEME.match(text) else f"http://{text}", *longest))
    except InvalidIdentifier as error:
        return Address("", error.code)


class Corrections:
    """``update_urls``: each spelling that was changed, once, and each that was refused."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def note(self, sent: Any, address: Address) -> None:
        # what carries a password is not said again
        if isinstance(sent, str) and sent != address.kept and address.reason != "credentials":
            self._kept[sent] = address.kept

    def listed(self) -> list[list[str]]:
        return [[sent, kept] for sent, kept in self._kept.items()]


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
