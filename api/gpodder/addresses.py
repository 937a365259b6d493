"""Addresses of feeds: how each device spells them, and which feeds have moved."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import unquote
from uuid import UUID

import msgspec

from api.gpodder.access import Call
from api.gpodder.marks import EPISODES
from eventstore import changes, entries, log
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import parts_of_item, url_of_feed
from eventstore.domain.settings import SPELLING, ChangeSettings, Settings, scope_of
from feeds import moves
from feeds.spelling import Address, Corrections, episode_address, feed_address

__all__ = ["Address", "Corrections", "Spellings", "episode_address", "feed_address"]

# kept beside the spelling: the device was told that the feed has moved
TOLD: Final = "told_of_move"
# after the host, characters that a feed's address seldom has unless they are percent-encoded
_MAY_BE_DECODED: Final = re.compile("https?://[^/]*/.*[:?=&@+,;].*")
_SETTINGS = msgspec.json.Decoder(Settings).decode


class Spellings:
    """How a device spells the addresses of feeds, where that differs from how they are kept.

    A feed that moved remains the same feed to a device: it is called by its old address until the device was
    told the new one, and from then on by whatever address the device sends.
    """

    def __init__(self, user_id: UUID, device: str) -> None:
        self._user_id, self.device = user_id, device
        self._looked_up: set[str] = set()
        self._looked_into: set[str] = set()
        # By feed and GUID of an episode: the address by which the device itself has named its file. Feeds
        # give out several addresses, and some apps recognise an episode only by its address.
        self.files: dict[tuple[str, str], str] = {}
        self.moved: dict[str, str] = {}

    @cached_property
    def _known(self) -> dict[str, dict[str, Any]]:
        return dict(_settings(self._user_id, self.device)) if self.device else {}

    def look_up(self, feeds: Iterable[str]) -> None:
        """Find out which of these feeds have moved: ``url`` then returns their new address."""
        unknown = set(feeds) - self._looked_up
        self._looked_up |= unknown
        self.moved |= moved_feeds(self._user_id, unknown)

    def look_into(self, feeds: Iterable[str]) -> None:
        """Find out by which addresses the device itself has named episodes of these feeds."""
        unknown = set(feeds) - self._looked_into
        self._looked_into |= unknown
        if not unknown or not self.device:
            return
        for feed, item in changes.items_of(self._user_id, self.device, list(unknown), EPISODES):
            guid, url = parts_of_item(item)
            if guid and url:
                self.files[feed, guid] = url

    def url(self, feed: str) -> str:
        return self.url_before(self.moved.get(feed, feed))

    def url_before(self, feed: str) -> str:
        """Return the device's address of a feed, without regard to moves."""
        return self._own(feed) or url_of_feed(feed)

    def knows(self, feed: str) -> bool:
        """Whether the device has sent this feed."""
        return feed in self._known

    def was_told(self, feed: str) -> bool:
        """Whether the device was told that this is the new address of a feed."""
        return TOLD in self._known.get(feed, {})

    def has_old(self, old: str, new: str) -> bool:
        """Whether the device takes a feed that moved for the one that it knows by the old address, rather
        than for one that it has found by itself at the new address."""
        own = self._own(new)
        return not own or self.was_told(new) or feed_address(own).feed == old

    def orders(
        self, call: Call, sent: Iterable[tuple[str, str]], *, also_same: bool = False
    ) -> Iterator[Any]:
        """Yield the commands that remember how the device spells the feeds it sent: pairs of feed and
        address. ``also_same``: also for feeds that are spelled as they are kept."""
        for feed, url in sent:
            usual = self._own(feed) or ("" if also_same else url_of_feed(feed))
            if url != usual:
                yield self.order(call, feed, {SPELLING: url})

    def order(self, call: Call, feed: str, values: dict[str, Any]) -> ChangeSettings:
        return call.order(ChangeSettings, set=values, device=self.device, feed=feed)

    def _own(self, feed: str) -> str:
        return str(self._known.get(feed, {}).get(SPELLING, ""))


class Moves(NamedTuple):
    """Feeds that were sent by an old address. ``feeds``: the new address of each. ``orders``: commands that
    remember how the device calls them. ``apart``: those that the device has found by itself at the new
    address, which it does not mean when it sends the old one."""

    feeds: dict[str, str]
    orders: list[Any]
    apart: set[str]


def moved_feeds(user_id: UUID, feeds: Collection[str]) -> dict[str, str]:
    """Return those of these feeds that a listener no longer follows except by the address they moved to, with
    that address."""
    known = moves.new_addresses(feeds)
    if not known:
        return {}
    stream = state_of(user_id)
    stream.fetch({"subscriptions": (*known, *known.values())})
    active = {feed for feed, one in stream.user.subscriptions.items() if one.active}
    return {old: new for old, new in known.items() if new in active and old not in active}


def decoded_feeds(user_id: UUID, feeds: Collection[str]) -> dict[str, str]:
    """Return those of these feeds that a listener does not follow, each with a followed feed whose address
    differs only in its percent-encoding: AntennaPod and Kasts decode the addresses that they are given."""
    suspects = {feed for feed in feeds if _MAY_BE_DECODED.fullmatch(url_of_feed(feed))}
    if not suspects:
        return {}
    subscriptions = state_of(user_id).user.subscriptions.items()
    active = {feed: url_of_feed(feed) for feed, one in subscriptions if one.active}
    named = {unquote(url): feed for feed, url in active.items() if "%" in url}
    found = {feed: named.get(unquote(url_of_feed(feed))) for feed in suspects - active.keys()}
    return {feed: followed for feed, followed in found.items() if followed}


def moves_among(call: Call, device: str, sent: Mapping[str, str], corrections: Corrections | None) -> Moves:
    """Find, among the feeds that were sent with these addresses, those that have moved, or that are
    followed by an address that the device has percent-decoded. ``corrections`` tell the device that a feed
    has moved: it then gets the new address, unless it sends the old one again. Without ``corrections`` it
    is not told."""
    decoded = decoded_feeds(call.user_id, sent.keys())
    found = decoded | moved_feeds(call.user_id, sent.keys() - decoded.keys())
    spelt = Spellings(call.user_id, device)
    apart = {old for old, new in found.items() if not spelt.has_old(old, new)}
    values = {
        # a device that decodes an address would decode it again, so it gets its own spelling
        new: _spelling_after(spelt, sent, old, new, None if old in decoded else corrections)
        for old, new in found.items()
        if old not in apart
    }
    return Moves(found, [spelt.order(call, *each) for each in values.items()] if device else [], apart)


def _spelling_after(
    spelt: Spellings, sent: Mapping[str, str], old: str, new: str, corrections: Corrections | None
) -> dict[str, Any]:
    """Return the settings that remember how the device calls a feed that it has sent by its old address."""
    if new in sent or corrections is None:
        return {SPELLING: sent.get(new, sent[old])}
    corrections.correct(sent[old], url_of_feed(new))
    return {SPELLING: sent[old] if spelt.was_told(new) else url_of_feed(new), TOLD: True}


def _settings(user_id: UUID, device: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the settings of each feed on a device for which the device has its own spelling."""
    prefix = f"{scope_of(device)}:"
    for _, key, text in entries.read_topic(log.stream_of(user_id), "settings"):
        if key.startswith(prefix):
            settings = _SETTINGS(text)
            values = settings.values
            if settings.feed is not None and isinstance(values.get(SPELLING), str):
                yield settings.feed, values
