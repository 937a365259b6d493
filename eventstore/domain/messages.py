"""What every command and every event is made of."""

from datetime import datetime
from uuid import UUID

import msgspec


class Owned(msgspec.Struct, frozen=True):
    """Of one user."""

    user_id: UUID


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An order of a user. Times and ids arrive in it: deciding reads no clock and draws no number. ``now`` is
    the server's clock."""

    user_id: UUID
    now: datetime


class Order(Command, frozen=True, kw_only=True):
    """A command that a device may have been given long before it is sent: ``at`` is its own time of that,
    where it tells one."""

    at: datetime | None = None


class Event(Owned, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A fact of a user's stream.

    Stored for ever: add fields with defaults, never rename one (house rule 3). ``gc=False``: events hold no
    reference cycles, and folding 100,000 of them should not wake the collector.
    """


# Whose stream holds what concerns nobody in particular (popularity, retention): no user's id, for those are
# random.
INSTANCE = UUID(int=0)
