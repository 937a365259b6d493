"""Which time counts for an action: the device's own, or the server's where the device's clock is ahead."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import msgspec

# A device may be this far ahead of the server; beyond that its time is replaced by the server's (domain.md).
TOLERANCE = timedelta(minutes=5)
# No event has a time this far past the one at which it was recorded: the device's clock is ahead by no more
# than the tolerance, and that of the server that accepted it is ahead of the event store's by no more than
# that.
MAX_SKEW = 2 * TOLERANCE
# The smallest step of stored times.
TICK = timedelta(microseconds=1)
# How many replaced times are remembered per key. Once there are that many, anything older than the oldest is
# taken as seen.
REMEMBERED_SKEWS = 16
# The time of something of which nothing was said yet: every other time comes after it.
NEVER = datetime.min.replace(tzinfo=UTC)

# The times of devices that were replaced by the server's, in order.
Skewed = tuple[datetime, ...]

# Numbers that distinguish what devices have sent of a thing, the oldest first; this many are remembered for
# each.
Facts = tuple[int, ...]
REMEMBERED = 32
# the bits of these numbers that stand for what was sent, as opposed to when
_MARKS = 0xFFFFF


class AcceptedTime(msgspec.Struct, frozen=True, gc=False):
    """``at``: the time that counts; None where nothing is to be counted. ``skewed``: the device's own time,
    where it was replaced by the server's."""

    at: datetime | None
    skewed: datetime | None = None


NOTHING = AcceptedTime(None)


def in_utc(at: datetime) -> datetime:
    """Convert a time to UTC. Raises ``ValueError`` for the hours that fall outside of the years 1 to 9999."""
    if at.tzinfo is UTC:
        return at
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of the years 1 to 9999 in UTC") from None


def is_ahead(at: datetime, now: datetime) -> bool:
    """Whether a device's time is too far ahead to be accepted."""
    return at > now + TOLERANCE


def accept_client_time(at: datetime | None, known: Skewed, now: datetime) -> AcceptedTime:
    """Return the time that counts for an action with the client time ``at``, which may be None.

    Return ``NOTHING`` where the action was counted before: a device whose clock is ahead sends it again and
    again, and each time it would get a newer "now" and win over what the other devices did in between. This
    holds even when its time is no longer ahead.
    """
    if at is None or at in known:
        return NOTHING
    if not is_ahead(at, now):
        return AcceptedTime(at)
    if len(known) >= REMEMBERED_SKEWS and at < known[0]:
        return NOTHING
    return AcceptedTime(now, at)


def accept_both(
    on: datetime | None, off: datetime | None, known: Skewed, now: datetime
) -> tuple[AcceptedTime, AcceptedTime]:
    """Return the times that count where a device says when something was turned on and when it was turned
    off."""
    first, second = accept_client_time(on, known, now), accept_client_time(off, known, now)
    if on is None or off is None or first.at is None or second.at is None:
        return first, second
    # where the server's time replaces the device's, the device's own order still holds
    if on >= off and first.at < second.at:
        return AcceptedTime(second.at, first.skewed), second
    if on < off and second.at <= first.at:
        return first, AcceptedTime(first.at + TICK, second.skewed)
    return first, second


def remember(known: Skewed, *more: datetime) -> Skewed:
    """Return the newest ``REMEMBERED_SKEWS`` of both, in order: a union, which does not depend on what comes
    first."""
    return tuple(sorted({*known, *more})[-REMEMBERED_SKEWS:])


def fact_number(at: datetime, values: tuple[Any, ...], claimed: datetime | None = None) -> int:
    """Return a number for what was said at a time; the numbers are in the order of the times. ``claimed``:
    the device's own time, where it was replaced."""
    return (int(at.timestamp()) << 20) | _mark(values, claimed)


def is_remembered(known: Facts, values: tuple[Any, ...], claimed: datetime) -> bool:
    """Whether this was said with that client time, or may have been said and forgotten."""
    mark = _mark(values, claimed)
    return len(known) >= REMEMBERED or any(number & _MARKS == mark for number in known)


def _mark(values: tuple[Any, ...], claimed: datetime | None) -> int:
    sent = values if claimed is None else (claimed.timestamp(), *values)
    return crc32(repr(sent).encode()) & _MARKS


def is_after(at: datetime, number: int) -> bool:
    """Whether a time is later, by at least a second, than the one in a number from ``fact_number``."""
    return int(at.timestamp()) > number >> 20


def remember_facts(one: Facts, other: Facts) -> Facts:
    """Return the newest of both. A fact that was dropped can be recorded once more at most, and loses: that
    does no harm."""
    return one if one == other else tuple(sorted({*one, *other})[-REMEMBERED:])


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two times, either of which may be missing."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def after_all(now: datetime, *known: datetime | None) -> datetime:
    """Return the time of an action that is based on what the server knows: later than all of that, even where
    a clock ran ahead."""
    latest = max((at for at in known if at is not None), default=None)
    return now if latest is None else max(now, latest + TICK)


def deciding_rule(at: datetime, decided_at: datetime | None, known: Skewed, now: datetime, tie: str) -> str:
    """Return why an entry with the time ``at`` lost to what was decided at another time: the rule as a sync
    names it."""
    if at in known or is_ahead(at, now):
        return "clock_ahead"
    return tie if at == decided_at else "later_wins"
