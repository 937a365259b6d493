"""Read the episode actions that apps upload, item by item: invalid items are skipped, the rest are kept."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from eventstore.domain.episode_actions import RecordEpisodeAction
from eventstore.domain.identifiers import InvalidIdentifier, has_guid, item_of_normal, normalise_guid
from eventstore.domain.plays import RecordPlay
from feeds.files import File, files, named
from feeds.spelling import Address, Corrections, episode_address, feed_address

# characters of YYYY-MM-DDTHH:MM:SS
PLAIN: Final = 19
OTHERS: Final = frozenset({"download", "delete", "new", "flattr"})
LAST: Final = 2**31 - 1
LONGEST_GUID: Final = 2_048
NUMBERS: Final = ("started", "position", "total")
DEVICE: Final = re.compile(r"[\w.-]{1,255}")
_DIGITS: Final = re.compile("[0-9]{1,10}", re.ASCII)
_CLOCK: Final = re.compile("([0-9]{1,6}):([0-5]?[0-9]):([0-5]?[0-9])", re.ASCII)
# timestamps outside this range come from devices with a wrong clock
_FIRST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

Order = RecordPlay | RecordEpisodeAction


class Skip(Exception):
    """An item that is skipped, with the reason. ``sent`` is its invalid part, where one can be named."""

    def __init__(self, reason: str, sent: Any = None) -> None:
        super().__init__(reason)
        self.sent = sent


class Reading:
    """One upload. ``in_words``: positions in an episode are written as ``HH:MM:SS``. ``untimed``: the time to
    use for actions without a timestamp; the current time by default."""

    def __init__(
        self, user_id: UUID, now: datetime, *, in_words: bool = False, untimed: datetime | None = None
    ) -> None:
        self._user_id, self._now = user_id, now
        self._in_words, self._untimed = in_words, untimed or now
        self.corrections = Corrections()
        self.skipped: list[dict[str, Any]] = []
        # the skipped items again, with what was sent
        self.left_out: list[tuple[Any, str]] = []
        # the feeds that were named, each with the address that was sent
        self.podcasts: dict[str, str] = {}
        # the feed of each address that was accepted
        self._feeds: dict[str, str] = {}

    def orders(self, sent: list[Any]) -> list[Order]:
        """Return what is to be recorded. GUIDs that are missing are looked up in the stored feeds."""
        read = self._order
        orders = []
        for index, action in enumerate(sent):
            try:
                orders.append(read(action))
            except Skip as skip:
                self.skipped.append({"index": index, "reason": str(skip)})
                self.left_out.append((skip.sent or action, str(skip)))
        return list(_completed(orders))

    def _order(self, action: Any) -> Order:
        if not isinstance(action, dict):
            raise Skip("not_an_object")
        kind: Any = action.get("action")
        kind = kind.lower() if isinstance(kind, str) else ""
        if kind != "play" and kind not in OTHERS:
            raise Skip("unknown_action")
        podcast = action.get("podcast")
        feed = self._feeds.get(podcast) if isinstance(podcast, str) else None
        feed = feed or self._feed(podcast)
        url = self._kept(action.get("episode"), episode_address(action.get("episode")))
        try:
            item = item_of_normal(_guid(action.get("guid")), url.kept)
        except InvalidIdentifier as error:
            raise Skip(error.code) from None
        device = action.get("device")
        device = device if isinstance(device, str) and DEVICE.fullmatch(device) else ""
        at = _time(action.get("timestamp"), self._untimed)
        user_id, now = self._user_id, self._now
        if kind != "play":
            return RecordEpisodeAction(
                user_id=user_id, now=now, feed=feed, item=item, device=device, at=at, action=kind
            )
        started, position, total = map(self._seconds, map(action.get, NUMBERS))
        return RecordPlay(
            user_id=user_id,
            now=now,
            feed=feed,
            item=item,
            device=device,
            at=at,
            position=position or 0,
            played=None,
            started=started,
            total=total or None,
        )

    def _feed(self, sent: Any) -> str:
        """Return the feed of an address. Raises ``Skip``."""
        feed = self._kept(sent, feed_address(sent)).feed
        self._feeds[sent] = feed
        self.podcasts.setdefault(feed, sent.strip())
        return feed

    def _kept(self, sent: Any, address: Address) -> Address:
        self.corrections.note(sent, address)
        if not address.kept:
            raise Skip(address.reason, sent)
        return address

    def _seconds(self, value: Any) -> int | None:
        if type(value) is int and 0 <= value <= LAST:
            return value
        if value is None or (value == -1 and not isinstance(value, bool)):
            return None
        if self._in_words and isinstance(value, str) and (found := _CLOCK.fullmatch(value)):
            hours, minutes, seconds = map(int, found.groups())
            value = 3600 * hours + 60 * minutes + seconds
        if isinstance(value, str):
            if value.strip() in ("", "-1"):
                return None
            value = int(value) if _DIGITS.fullmatch(value) else value
        if isinstance(value, float) and value.is_integer() and abs(value) <= LAST:
            value = int(value)
        if type(value) is not int or not 0 <= value <= LAST:
            raise Skip("bad_number")
        return value


def _guid(value: Any) -> str:
    if not isinstance(value, str) or value in ("", "null"):
        return ""
    # a character has at most four bytes in UTF-8
    if 4 * len(value) > LONGEST_GUID and len(value.encode(errors="replace")) > LONGEST_GUID:
        raise Skip("guid_too_long")
    return normalise_guid(value)


def _time(value: Any, untimed: datetime) -> datetime:
    """Return a timestamp in whole seconds, so that a repeated upload is recognised."""
    if value is None or value == "":
        return untimed.replace(microsecond=0)
    try:
        if isinstance(value, str):
            is_plain = len(value) == PLAIN and value[13] == value[16] == ":"
            # most are in UTC without saying so
            moment = datetime.fromisoformat(f"{value}+00:00" if is_plain else value.strip())
            at = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value, UTC)
        else:
            raise Skip("bad_time")
    except (ValueError, OverflowError, OSError):
        raise Skip("bad_time") from None
    if not _FIRST <= at <= _LATEST:
        raise Skip("bad_time")
    return at.replace(microsecond=0) if at.microsecond else at


def _completed(orders: Iterable[Order]) -> Iterable[Order]:
    """Fill in GUIDs and durations from the stored feeds where apps sent none."""
    orders = list(orders)
    wanted = {(order.feed, order.item) for order in orders if _lacks(order)}
    known = files(wanted) if wanted else {}
    for order in orders:
        found = known.get((order.feed, order.item))
        if found is not None:
            order = replace(order, item=_with_guid(order.item, found))
            if isinstance(order, RecordPlay) and order.total is None:
                order = replace(order, duration=found.duration)
        yield order


def _lacks(order: Order) -> bool:
    return not has_guid(order.item) or (isinstance(order, RecordPlay) and order.total is None)


def _with_guid(item: str, found: File) -> str:
    return item if has_guid(item) else named(item, found)
