"""Whose clock counts."""

from datetime import datetime, timedelta

# A device may be this far ahead of the server; past it its time is replaced by the server's (domain.md).
TOLERANCE = timedelta(minutes=5)
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


def remember(claims: Claims, *more: datetime) -> Claims:
    """The newest ``MEMORY`` of both, in order: a union that does not depend on who comes first."""
    return tuple(sorted({*claims, *more})[-MEMORY:])
