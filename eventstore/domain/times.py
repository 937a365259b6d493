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


def effective(at: datetime | None, now: datetime) -> datetime:
    """The time that counts for an action: the client's own, the server's where none or a wrong one came."""
    return now if at is None or ahead(at, now) else at


def seen(claim: datetime, claims: Claims) -> bool:
    """Whether this unbelievable time was already replaced once.

    A device whose clock is a year ahead sends the same action again and again; each time it would be
    replaced by a newer "now" and win over what the other devices did in between. So each is counted once.
    """
    return claim in claims or (len(claims) >= MEMORY and claim < claims[0])


def remember(claims: Claims, *more: datetime) -> Claims:
    """The newest ``MEMORY`` of both, in order: a union that does not depend on who comes first."""
    return tuple(sorted({*claims, *more})[-MEMORY:])
