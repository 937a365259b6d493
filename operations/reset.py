"""Resetting stores while none of the programs runs. The operator sees first what goes and what stays.

Each store is reset in one transaction: a reset that was killed is repeated. docs/decisions/0010
"""

import getpass
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TextIO

import psycopg
from django.conf import settings
from django.db import connections, transaction

from accounts.models import ErasedAccount
from eventstore import administration, log, retention
from eventstore.domain.checkpoint import PublicHistoryTrimmed
from operations import inventory, maintenance, rebuilding, stores
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive, raw_connection
from operations.recreate import owned_tables, recreate
from operations.seeds import reference
from operations.stopped import without_programs
from operations.stores import parameters
from projections.projectors import PROJECTORS

What = Literal["projections", "system", "events", "all"]
Rows = dict[str, int]
# a line for every reset begun and done
AUDIT = "resets.log"
# How long readers may keep a table from being dropped.
LOCK_TIMEOUT = "10s"
POSITIONS = 'SELECT coalesce(max(position), 0) FROM "users"."projector_positions"'
logger = logging.getLogger(__name__)


class Kind(NamedTuple):
    """``phrase``: what is typed to confirm; ``stores``: what goes, the last first; ``consequence``: what the
    operator reads beside the list of tables; ``done``: what afterwards."""

    phrase: str
    stores: tuple[str, ...]
    consequence: str
    done: str


KINDS: Mapping[What, Kind] = {
    "projections": Kind(
        "DELETE",
        ("projections",),
        "Safe: read models are rebuilt from the events.",
        "The read models were rebuilt from the events.",
    ),
    "system": Kind(
        "DELETE",
        ("system",),
        "Every account, app grant, play token and session goes, and nothing brings them back.",
        "The system store is empty: nobody has an account, and every app and session gets 401.",
    ),
    "events": Kind(
        "DELETE ALL EVENTS",
        ("events", "projections"),
        "What every listener did goes, and nothing brings it back; the read models go with it. Accounts and"
        " apps stay; devices that sync get a full answer, which is empty.",
        "The log and the read models are empty.",
    ),
    "all": Kind(
        "DELETE ALL DATA",
        ("system", "events", "projections"),
        "Everything goes, and nothing brings it back.",
        "All stores are empty.",
    ),
}


class NotReset(OperatorError):
    """Nothing was touched."""


def check_allowed(what: What) -> None:
    """Raises ``NotReset`` where what nothing rebuilds would go, and the instance is not for development."""
    if not (what == "projections" or settings.DEBUG or settings.ALLOW_DESTRUCTIVE_RESET):
        raise NotReset(
            "Nothing was touched: this deletes what nothing can rebuild, and DEBUG is off."
            f" Where you mean it: ALLOW_DESTRUCTIVE_RESET=1 manage.py db_reset --{what}"
        )


def rows_of(alias: str) -> Rows:
    """The tables of a store that a reset empties ("schema.table"): how many rows they have. Raises
    ``psycopg.Error``."""
    with psycopg.connect(**parameters(alias), autocommit=True) as connection, connection.cursor() as cursor:
        going = owned_tables(cursor, alias)
        return {each.name: each.rows for each in inventory.tables(connection, alias) if each.name in going}


def names_to_type(what: What) -> dict[str, str]:
    """The names of the databases that lose what nothing rebuilds -> what they are called in a question."""
    if what == "projections" or settings.DEBUG:
        return {}
    asked: dict[str, list[str]] = {}
    for alias in KINDS[what].stores:
        if what in ("all", alias):
            asked.setdefault(str(parameters(alias)["dbname"]), []).append(alias)
    return {name: f"the name of the database of {', '.join(aliases)}" for name, aliases in asked.items()}


def run(what: What, rows: Rows, out: TextIO) -> None:
    """Do it, and leave a line before and one after. ``rows``: what the operator was shown.

    Raises before anything is touched ``StillRunning``, ``maintenance.InMaintenance`` where a store is
    closed to writes, and ``OSError`` where the line cannot be written. What was not done when a store is away
    or ``migrations.NotMigrated`` is raised, a repeat does.
    """

    def say(line: str) -> None:
        out.write(f"{line}\n")

    for alias in KINDS[what].stores:
        maintenance.check(alias)
    with without_programs(stores.SCHEMAS), _audited(what, rows):
        known = _last_position()
        for alias in reversed(KINDS[what].stores):
            RESETS[alias](say, known)
        if what == "events":
            # the head is then above every position that a client may remember, so none of them is refused
            log.append_to_instance([PublicHistoryTrimmed(before=log.database_time())])
        if what == "projections":
            for note in rebuilding.rebuild_beside(list(PROJECTORS.values()), out):
                say(note)
    say(KINDS[what].done)


def _reset_system(say: Say, known: int) -> None:
    with _whole("system", say):
        # kept: restores of older backups need the ledger of erased accounts, which names nobody
        with connections["system"].cursor() as cursor:
            kept = "system.erased_accounts" in owned_tables(cursor, "system")
        erased = list(ErasedAccount.objects.all()) if kept else []
        recreate("system", say)
        ErasedAccount.objects.bulk_create(erased)
        reference.up(say)


def _reset_projections(say: Say, known: int) -> None:
    if administration.last_position():
        # retention must not count on rows that are gone
        retention.acknowledge(dict.fromkeys(PROJECTORS, 0))
    with _whole("projections", say):
        recreate("projections", say)


def _reset_events(say: Say, known: int) -> None:
    """An empty log with an epoch of its own: no position is given out twice, and no cursor is believed."""
    with _whole("events", say):
        recreate("events", say)
        administration.begin_epoch(known)


RESETS = {"system": _reset_system, "projections": _reset_projections, "events": _reset_events}


def _last_position() -> int:
    """The last position that was given out; where the log is lost, the last that the read models know."""
    lost = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
    row = None
    with suppress(*lost), psycopg.connect(**parameters("projections"), autocommit=True) as connection:
        row = connection.execute(POSITIONS).fetchone()
    return max(administration.last_position(), int(row[0]) if row else 0)


@contextmanager
def _whole(alias: str, say: Say) -> Iterator[None]:
    """One transaction of a store, under its lock."""
    with exclusive(raw_connection(alias), alias, say), transaction.atomic(using=alias):
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        yield


@contextmanager
def _audited(what: What, rows: Rows) -> Iterator[None]:
    """A line before and one after, in $BALADOS_HOME/resets.log and in the log."""
    entry = {"reset": what, "by": _operator(), "rows": rows}
    _write("begun", entry)
    try:
        yield
    except BaseException as failure:
        _write(f"failed: {type(failure).__name__}", entry)
        raise
    _write("done", entry)


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return str(os.getuid())


def _write(state: str, entry: Mapping[str, Any]) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    settings.BALADOS_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(settings.BALADOS_HOME / AUDIT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "a") as file:
        file.write(json.dumps({"at": at, "state": state, **entry}) + "\n")
        file.flush()
        os.fsync(descriptor)
    logger.warning("reset %s", state, extra={"fields": {"reset": entry["reset"], "by": entry["by"]}})
