"""Whose clock counts."""

from datetime import datetime, timedelta

# A device may be this far ahead of the server; past it its time is replaced by the server's (domain.md).
TOLERANCE = timedelta(minutes=5)
# No event is of a time this far past the one at which it was recorded: the device's clock is ahead by what is
# tolerated, and that of the server that believed it by as much of the event store's at most.
FURTHEST_AHEAD = 2 * TOLERANCE
# The smallest step of stored times.
TICK = timedelta(microseconds=1)
# How many replaced times are remembered per key. Past it, anything older than the oldest is taken as seen.
MEMORY = 16

Claims = tuple[datetime, ...]


def ahead(at: datetime, now: datetime) -> bool:
    """Whether a client's time is so far ahead that it cannot be believed."""
    return at > now + TOLERANCE


def believed(at: datetime, claims: Claims, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The time that counts for an action of time ``at``, and the claim that it replaces, if it does.

    No time where the action was counted before: a device whose clock is ahead sends it again and again, and
    each time it would be replaced by a newer "now" and win over what the other devices did in between. That
    holds also when its time is no longer ahead.
    """
    if at in claims:
        return None, None
    if not ahead(at, now):
        return at, None
    if len(claims) >= MEMORY and at < claims[0]:
        return None, None
    return now, at


def believed_or_none(
    at: datetime | None, claims: Claims, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """As ``believed``, for a time that may be missing."""
    return (None, None) if at is None else believed(at, claims, now)


def claim(at: datetime | None) -> Claims:
    """What an event's ``claimed_at`` adds to the memory of its key."""
    return () if at is None else (at,)


def remember(claims: Claims, *more: datetime) -> Claims:
    """The newest ``MEMORY`` of both, in order: a union that does not depend on who comes first."""
    return tuple(sorted({*claims, *more})[-MEMORY:])


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two times, either of which may be missing."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def is_later(at: datetime, than: datetime | None) -> bool:
    return than is None or at > than


def on_top_of(now: datetime, *known: datetime | None) -> datetime:
    """The time of an action made on what the server knows: after that, even where a clock ran ahead."""
    latest = max((at for at in known if at is not None), default=None)
    return now if latest is None else max(now, latest + TICK)


def rule(at: datetime, stands: datetime | None, claims: Claims, now: datetime, tie: str) -> str:
    """Why an entry of time ``at`` lost to what ``stands``, as a sync says it."""
    if at in claims or ahead(at, now):
        return "clock_ahead"
    return tie if at == stands else "later_wins"
