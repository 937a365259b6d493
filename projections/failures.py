"""Which failures say that a store is away, and which that an event cannot be applied."""

from typing import Final

import django.db
import psycopg
from psycopg import errors

# What a store in maintenance answers to whoever writes (operations/maintenance.py). Of class 57, "operator
# intervention", which psycopg makes an OperationalError: whoever bears an outage bears this.
MAINTENANCE: Final = "57BA1"
# The tables are not there yet, or not as this code knows them: migrations are pending. No event is at fault.
UNPREPARED = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)
AWAY = (
    # the server ended the session of one that froze, or waited for long: internal errors by their class only
    errors.TransactionTimeout,
    errors.IdleInTransactionSessionTimeout,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    django.db.OperationalError,
    django.db.InterfaceError,
)


def is_outage(failure: Exception) -> bool:
    """Whether to try everything again later, rather than to look for the event that cannot be applied."""
    if isinstance(failure, UNPREPARED):
        return True
    if isinstance(failure, django.db.Error) and isinstance(failure.__cause__, UNPREPARED):
        return True
    if not isinstance(failure, AWAY):
        return False
    # class 54, "program limit exceeded" (a row too large for an index, say), is an OperationalError by name
    # only: it comes back with the same event for ever
    return not (getattr(failure, "sqlstate", None) or "").startswith("54")


def in_maintenance(failure: BaseException) -> bool:
    """Whether the operator has closed a store to writes: reads go on, writes come later."""
    cause = failure.__cause__ if isinstance(failure, django.db.Error) else failure
    return getattr(cause, "sqlstate", None) == MAINTENANCE
