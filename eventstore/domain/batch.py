"""Many orders in one append, each decided on what those before it have led to."""

from typing import Any

from eventstore.domain.messages import Command


class Batch(Command, frozen=True, kw_only=True):
    """All of it is recorded, or nothing. An order that the rules refuse is left out: the others stand for
    themselves."""

    orders: tuple[Any, ...]
