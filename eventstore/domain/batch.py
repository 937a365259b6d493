"""Many orders in one append, each decided on the result of those before it."""

from typing import Any

from eventstore.domain.messages import Command


class Batch(Command, frozen=True, kw_only=True):
    """All orders are recorded, or none. An order that the rules refuse is left out, since the others do not
    depend on it."""

    orders: tuple[Any, ...]
