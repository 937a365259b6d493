"""The base classes of all commands and events, and where a command came from."""

from datetime import datetime
from uuid import UUID

import msgspec


class Owned(msgspec.Struct, frozen=True):
    """Something that belongs to one user."""

    user_id: UUID


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A user's request to change something. Times and ids are passed in with it: deciding reads no clock and
    generates no random number. ``now`` is the server's clock."""

    user_id: UUID
    now: datetime


class Order(Command, frozen=True, kw_only=True):
    """A command that a device may have been given long before it sends it. ``at``: the device's own time of
    that, where it names one."""

    at: datetime | None = None


class Event(Owned, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A fact in a user's stream.

    Stored for ever: add fields with defaults, never rename one (house rule 3). ``gc=False``: events hold no
    reference cycles, and folding 100,000 of them should not trigger the garbage collector.
    """


# The owner of the stream for what concerns nobody in particular (popularity, retention). No user has this id,
# because user ids are random.
INSTANCE = UUID(int=0)


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who and what sent a command, stored as the events' metadata. ``occurred_at``: the client's own time, as
    sent.

    ``cause``: why the command was issued, unless the listener did so directly: ``undo`` by the listener, with
    the ids of the undone events in ``undoes``; ``feed_moved`` and ``removal_unanswered`` by the server;
    ``import``, with the source server as ``device_name``.
    """

    app_id: str | None = None
    device_id: str | None = None
    device_name: str | None = None
    occurred_at: datetime | None = None
    cause: str | None = None
    undoes: tuple[str, ...] = ()
