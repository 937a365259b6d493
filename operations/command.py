"""What the operator's commands share: a failure that an operator can cause ends with one line and an exit
code, never with a traceback."""

import errno
import logging
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any, Final

import django.db
import psycopg
import redis
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from psycopg import errors

from accounts.models import User
from eventstore.instance import WrongStore
from operations.confirmation import confirm
from operations.errors import OperatorError
from projections.failures import in_maintenance

# a shell's 128 + SIGINT
INTERRUPTED: Final = 130

AWAY: Final = (
    "Is the server running, and is the URL right (docs/settings.md)?"
    " manage.py db_create creates missing databases."
)
# PostgreSQL's errors and what to do about them: the first that matches counts. The server's own line is shown
# before it.
ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (WrongStore, "The store was refused, and nothing was done."),
    (
        errors.InsufficientPrivilege,
        "The role in the URL may not do this: grant the right to it, or use another role.",
    ),
    (errors.InvalidCatalogName, "manage.py db_create creates missing databases."),
    (errors.UndefinedTable, "The store is not initialised: run manage.py db_init."),
    (errors.UndefinedColumn, "The store's tables are of another version: run manage.py db_migrate."),
    (errors.InvalidSchemaName, "The store is not initialised: run manage.py db_init."),
    (
        errors.DependentObjectsStillExist,
        "First drop the objects that depend on Balados' tables and are not its own.",
    ),
    (errors.DiskFull, "The server's disk is full: free some space and run the command again."),
    (
        errors.TooManyConnections,
        "The server has no free connection: try again, or raise max_connections.",
    ),
    (
        errors.LockNotAvailable,
        "Other sessions hold the locks that are needed: nothing was changed, try again later.",
    ),
    (errors.ReadOnlySqlTransaction, "That server is read-only (a replica?): use the primary."),
    (errors.QueryCanceled, "It exceeded its time limit: try again when the server is less busy."),
    (psycopg.OperationalError, AWAY),
)


class OperatorCommand(BaseCommand):
    """A command for the operator: ``help`` says in a sentence or two what it does, ``details`` the rest.

    Failures that ``explain`` knows end it with one line on stderr and exit code 1, Ctrl-C with 130. The
    checks of pages and API are skipped: a store must be repairable while something else is broken.
    """

    requires_system_checks = []
    details: str = ""
    # Whether something may have changed by now; False for commands that ask first or only look.
    touched = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": self.details.strip(), "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add no arguments to Django's own."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        # the pool logs each attempt to connect, but one line at the end is enough
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        try:
            return super().execute(*args, **options)
        except CommandError:
            raise
        except KeyboardInterrupt:
            text = "Interrupted." if self.touched else "Nothing was touched."
            raise CommandError(text, returncode=INTERRUPTED) from None
        except Exception as failure:
            if (message := explain(failure)) is None:
                raise
            raise CommandError(message) from failure

    def confirm(self, phrase: str, asked: str = "") -> None:
        """Ask with ``confirmation.confirm``; from then on something may change. Raises ``NotConfirmed``."""
        confirm(phrase, asked)
        self.touched = True


def user_named(name: str) -> User:
    """Return the account of this name, in any spelling. Raises ``CommandError``."""
    try:
        return User.objects.get_by_natural_key(name)
    except User.DoesNotExist:
        raise CommandError(f"No such user: {name}.") from None


def explain(failure: Exception) -> str | None:
    """Say what went wrong and what to do, in a line or two; return None for failures that are our own fault.

    Only the first line of a server's message is used: the others may contain a row.
    """
    match failure:
        case django.db.Error() if isinstance(failure.__cause__, psycopg.Error):
            return explain(failure.__cause__)
        case psycopg.Error() if in_maintenance(failure):
            return f"{failure.diag.message_primary}\nmanage.py maintenance status shows how to continue."
        case psycopg.Error():
            # violated constraints have a name; an error without one is a row that fits no partition
            if isinstance(failure, errors.CheckViolation) and failure.diag.constraint_name is None:
                return "The log's last partition is full: docs/sql/next_partition.sql adds one."
            # without a connection there are no diagnostics, only the exception's text
            first_line = (failure.diag.message_primary or str(failure)).strip().splitlines()[:1]
            for kind, advice in ADVICE:
                if isinstance(failure, kind):
                    return "\n".join([*first_line, advice])
            return None
        case redis.RedisError():
            return f"Redis: {failure}\nIs it running, and is REDIS_URL right?"
        case ImproperlyConfigured() | django.db.NotSupportedError() | OperatorError():
            return str(failure)
        case OSError(errno=errno.ENOSPC):
            return f"The disk is full: {failure.filename or failure.strerror}"
        case OSError(errno=number) if number is not None and not isinstance(failure, ConnectionError):
            return f"{failure.strerror}: {failure.filename}" if failure.filename else str(failure.strerror)
    return None
