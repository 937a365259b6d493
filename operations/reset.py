"""Resetting a store, beside processes that go on running. The operator sees first what goes and what stays.

Every part is one transaction of its store, and finds its own work: a reset that was killed is repeated.
"""

import getpass
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TextIO

import psycopg
import redis
from django.conf import settings
from django.db import connections, transaction

from accounts.models import ErasedAccount
from eventstore import administration, retention
from operations import inventory, maintenance, rebuilding, repair, stores
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive, raw_connection
from operations.inventory import Table
from operations.recreate import owned_tables, recreate
from operations.seeds import reference
from operations.stores import parameters
from projections.projectors import PROJECTORS

What = Literal["projections", "system", "events", "all"]
LOCK = 0x62616C72  # "balr": one reset at a time
# a line for every reset begun and done
AUDIT = "resets.log"
# How long readers may keep a table from being dropped.
LOCK_TIMEOUT = "10s"
POSITIONS = 'SELECT coalesce(max(position), 0) FROM "users"."projector_positions"'
logger = logging.getLogger(__name__)


class Kind(NamedTuple):
    """``phrase``: what is typed to confirm; ``counters``: keys in Redis that go with it; ``consequence``:
    what the operator reads beside the list of tables."""

    phrase: str
    stores: tuple[str, ...]
    counters: tuple[str, ...]
    consequence: str


KINDS: Mapping[What, Kind] = {
    "projections": Kind(
        "DELETE",
        ("projections",),
        (),
        "Safe, also while the server runs: read models are rebuilt from the events, and readers see the old"
        " rows until all new ones are there.",
    ),
    "system": Kind(
        "DELETE",
        ("system",),
        ("balados:attempts:*",),
        "Every account, app grant, play token and session goes, and nothing brings them back.",
    ),
    "events": Kind(
        "DELETE ALL EVENTS",
        ("events", "projections"),
        ("balados:worker:*",),
        "What every listener did goes, and nothing brings it back. The read models are stale after it, and"
        " are cleared too. Accounts and apps stay; devices that sync get a full answer, which is empty.",
    ),
    "all": Kind(
        "DELETE ALL DATA",
        ("system", "events", "projections"),
        ("balados:*",),
        "Everything goes, and nothing brings it back.",
    ),
}


class NotReset(OperatorError):
    """Nothing was touched."""


class Holding(NamedTuple):
    """What a store holds: the tables that go, and those of others in the same schemas, which stay.

    ``tables`` is None where the database does not exist.
    """

    alias: str
    place: str
    database: str
    tables: list[Table] | None
    others: list[Table]


def check_allowed(what: What) -> None:
    """Raises ``NotReset`` where what nothing rebuilds would go, and the instance is not for development."""
    if not (what == "projections" or settings.DEBUG or settings.ALLOW_DESTRUCTIVE_RESET):
        raise NotReset(
            "Nothing was touched: this deletes what nothing can rebuild, and DEBUG is off."
            f" Where you mean it: ALLOW_DESTRUCTIVE_RESET=1 manage.py db_reset --{what}"
        )


def holdings(what: What) -> list[Holding]:
    """What the stores hold that a reset empties. Raises ``psycopg.Error``."""
    return [_holding(alias) for alias in KINDS[what].stores]


def names_to_type(what: What, held: list[Holding]) -> dict[str, str]:
    """The names of the databases that lose what nothing rebuilds -> what they are called in a question."""
    if what == "projections" or settings.DEBUG:
        return {}
    asked: dict[str, list[str]] = {}
    for each in held:
        if what in ("all", each.alias):
            asked.setdefault(each.database, []).append(each.alias)
    return {name: f"the name of the database of {', '.join(aliases)}" for name, aliases in asked.items()}


@contextmanager
def only_reset() -> Iterator[None]:
    """Keep every other reset out. Raises ``NotReset`` where there is one, ``stores.CannotCreate``."""
    stores.create(say=lambda line: None)
    with psycopg.connect(**parameters("system"), autocommit=True) as connection:
        if connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone() != (True,):
            raise NotReset("Nothing was touched: another reset is running.")
        yield


@contextmanager
def audited(what: What, held: list[Holding]) -> Iterator[None]:
    """A line before and one after, in $BALADOS_HOME/resets.log and in the log. Raises ``OSError`` before
    anything is touched where it cannot be written.
    """
    rows = {table.name: table.rows for each in held for table in each.tables or ()}
    entry = {
        "reset": what,
        "databases": {each.alias: f"{each.database} on {each.place}" for each in held},
        "by": _operator(),
        "host": socket.gethostname(),
        "process": os.getpid(),
    }
    _write("begun", {**entry, "rows": rows})
    try:
        yield
    except BaseException as failure:
        _write(f"failed: {type(failure).__name__}", entry)
        raise
    _write("done", entry)


def run(what: What, out: TextIO) -> list[str]:
    """Do it. Returns what to tell the operator, line by line.

    Raises ``psycopg.errors.LockNotAvailable``, ``DependentObjectsStillExist``, the errors of a store that is
    away, ``migrations.NotMigrated``, and ``rebuilding.NotRebuilt``; what was not done then, a repeat does.
    ``maintenance.InMaintenance``, before anything, where a store is closed to writes.
    """

    def say(line: str) -> None:
        out.write(f"{line}\n")

    for alias in KINDS[what].stores:
        maintenance.check(alias)
    done = []
    if what in ("system", "all"):
        _reset_system(say)
        done.append("The system store is empty: nobody has an account, and every app and session gets 401.")
    if what in ("events", "all"):
        _reset_events(say, keep=what == "events")
    if what == "events":
        done.append("The log is empty: of each listener a checkpoint is left that says so.")
    if what == "all":
        _recreate_projections(say)
        done += ["The log is empty.", "The read models are empty."]
    if what in ("projections", "events"):
        if repair.is_unusable():
            _recreate_projections(say)
            done.append("The store's tables were missing or altered: all were made anew.")
        done += rebuilding.repair_and_rebuild(list(PROJECTORS.values()), out)
        done.append("The read models were rebuilt from the events.")
    return [*done, *_delete_counters(KINDS[what].counters)]


def _recreate_projections(say: Say) -> None:
    # retention must not count on rows that are gone
    retention.acknowledge(dict.fromkeys(PROJECTORS, 0))
    with _whole("projections", say):
        recreate("projections", say)
    retention.acknowledge(dict.fromkeys(PROJECTORS, 0))


def _reset_system(say: Say) -> None:
    with _whole("system", say):
        # kept: restores of older backups need the ledger of erased accounts, which names nobody
        with connections["system"].cursor() as cursor:
            kept = "system.erased_accounts" in owned_tables(cursor, "system")
        erased = list(ErasedAccount.objects.all()) if kept else []
        recreate("system", say)
        ErasedAccount.objects.bulk_create(erased)
        reference.up(say)


def _reset_events(say: Say, *, keep: bool) -> None:
    with exclusive(raw_connection("events"), "events", say):
        administration.reset_log(lambda: recreate("events", say), _known_positions(), keep=keep)


def _known_positions() -> int:
    """The greatest position that the read models know: where the log is lost, the only trace of numbers."""
    lost = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
    row = None
    with suppress(*lost), psycopg.connect(**parameters("projections"), autocommit=True) as connection:
        row = connection.execute(POSITIONS).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _whole(alias: str, say: Say) -> Iterator[None]:
    """One transaction of a store, under its lock."""
    with exclusive(raw_connection(alias), alias, say), transaction.atomic(using=alias):
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        yield


def _delete_counters(patterns: tuple[str, ...]) -> list[str]:
    try:
        with redis.Redis.from_url(settings.REDIS_URL) as connection:
            for pattern in patterns:
                for key in connection.scan_iter(pattern, count=1_000):
                    connection.delete(key)
    except redis.RedisError:
        return ["Redis is away: what it counts of requests and log-ins stays there until it expires."]
    return []


def _holding(alias: str) -> Holding:
    wanted = parameters(alias)
    try:
        place = inventory.place(alias)
        with psycopg.connect(**wanted, autocommit=True) as connection, connection.cursor() as cursor:
            going = owned_tables(cursor, alias)
            found = inventory.tables(connection, alias)
    except psycopg.OperationalError as failure:
        if not stores.is_missing(wanted):
            raise failure
        return Holding(alias, str(wanted.get("host", "")), str(wanted["dbname"]), None, [])
    tables = [table for table in found if table.name in going]
    others = [table for table in found if table.name not in going]
    return Holding(alias, place.server, place.database, tables, others)


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
    fields = {"reset": entry["reset"], "by": entry["by"], "rows": sum(entry.get("rows", {}).values())}
    logger.warning("reset %s", state, extra={"fields": fields})
