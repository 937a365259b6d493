"""Which failures mean that a store is away, and which mean that an event cannot be applied."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import django.db
import psycopg
from psycopg import errors

T = TypeVar("T")
# The SQLSTATE with which a store in maintenance refuses writers (operations/maintenance.py). It is of class
# 57, "operator intervention", which psycopg maps to OperationalError: code that survives an outage survives
# it too.
MAINTENANCE: Final = "57BA1"
# Tables are missing, or differ from what this code knows: migrations are pending. No event is to blame.
UNPREPARED = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)
AWAY = (
    # InternalErrors by class: the server ended the session of a process that froze or waited too long
    errors.TransactionTimeout,
    errors.IdleInTransactionSessionTimeout,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    django.db.OperationalError,
    django.db.InterfaceError,
)


def is_outage(failure: Exception) -> bool:
    """Whether to retry everything later, instead of looking for the event that cannot be applied."""
    if isinstance(failure, UNPREPARED):
        return True
    if isinstance(failure, django.db.Error) and isinstance(failure.__cause__, UNPREPARED):
        return True
    if not isinstance(failure, AWAY):
        return False
    # class 54, "program limit exceeded" (a row too large for an index, say), is an OperationalError in name
    # only: it will happen again with the same event
    return not (getattr(failure, "sqlstate", None) or "").startswith("54")


@contextmanager
def suppress_outages() -> Iterator[None]:
    """End the block, without an error, when a store is away."""
    try:
        yield
    except Exception as failure:
        if not is_outage(failure):
            raise


def unless_away(ask: Callable[[], T]) -> T | None:
    """Return what ``ask`` returns, or None when a store is away."""
    with suppress_outages():
        return ask()
    return None


def in_maintenance(failure: BaseException) -> bool:
    """Whether the operator has closed a store to writes: reads still work, writes have to wait."""
    cause = failure.__cause__ if isinstance(failure, django.db.Error) else failure
    return getattr(cause, "sqlstate", None) == MAINTENANCE
