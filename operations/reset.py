"""Resetting stores while no program is running. The operator first sees what will be deleted and what stays.

Each store is reset in one transaction: if a reset is killed, repeat it. docs/decisions/0010
"""

import getpass
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TextIO, cast

from django.conf import settings
from django.db import connections, transaction

from accounts.models import ErasedAccount
from eventstore import administration, log, retention
from eventstore.domain.checkpoint import PublicHistoryTrimmed
from operations import inventory, maintenance, migrations, rebuilding
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive, raw_connection
from operations.offline import last_position_of_read_models, without_programs
from operations.seeds import reference
from operations.stores import SCHEMAS, Connection, connect, parameters, read_note, write_note
from projections.projectors import PROJECTORS

What = Literal["projections", "system", "events", "all"]
Rows = dict[str, int]
# gets a line for every reset begun and done
AUDIT = "resets.log"
# How long readers may keep a table from being dropped.
LOCK_TIMEOUT = "10s"
logger = logging.getLogger(__name__)


class ResetKind(NamedTuple):
    """What a kind of reset does, and how it is announced.

    ``phrase``: what is typed to confirm. ``stores``: those that are reset, the last one first.
    ``consequence``: what the operator reads beside the list of tables. ``done``: what the operator reads
    afterwards.
    """

    phrase: str
    stores: tuple[str, ...]
    consequence: str
    done: str


KINDS: Mapping[What, ResetKind] = {
    "projections": ResetKind(
        "DELETE",
        ("projections",),
        "Safe: read models are rebuilt from the events.",
        "The read models were rebuilt from the events.",
    ),
    "system": ResetKind(
        "DELETE",
        ("system",),
        "Every account, app grant, play token and session goes, and nothing brings them back.",
        "The system store is empty: nobody has an account, and every app and session gets 401.",
    ),
    "events": ResetKind(
        "DELETE ALL EVENTS",
        ("events", "projections"),
        "What every listener did goes, and nothing brings it back; the read models go with it. Accounts and"
        " apps stay; devices that sync get a full answer, which is empty.",
        "The log and the read models are empty.",
    ),
    "all": ResetKind(
        "DELETE ALL DATA",
        ("system", "events", "projections"),
        "Everything goes, and nothing brings it back.",
        "All stores are empty.",
    ),
}


class NotReset(OperatorError):
    """The reset was refused; nothing was touched."""


def check_allowed(what: What) -> None:
    """Raise ``NotReset`` if data that cannot be rebuilt would be deleted, and this is no development
    instance."""
    if not (what == "projections" or settings.DEBUG or settings.ALLOW_DESTRUCTIVE_RESET):
        raise NotReset(
            "Nothing was touched: this deletes what nothing can rebuild, and DEBUG is off."
            f" Where you mean it: ALLOW_DESTRUCTIVE_RESET=1 manage.py db_reset --{what}"
        )


def rows_of(alias: str) -> Rows:
    """Return the tables of a store that a reset empties, with their numbers of rows. Raises
    ``psycopg.Error``."""
    with connect(alias) as connection:
        return inventory.row_counts(connection, alias)


def names_to_type(what: What) -> dict[str, str]:
    """Map the name of each database that loses data for good to how a question describes it."""
    if what == "projections" or settings.DEBUG:
        return {}
    asked: dict[str, list[str]] = {}
    for alias in KINDS[what].stores:
        if what in ("all", alias):
            asked.setdefault(parameters(alias)["dbname"], []).append(alias)
    return {name: f"the name of the database of {', '.join(aliases)}" for name, aliases in asked.items()}


def run(what: What, rows: Rows, out: TextIO) -> None:
    """Reset the stores, and write a line to the audit log before and after. ``rows``: what the operator was
    shown.

    Raises, before anything is touched, ``StillRunning``, ``maintenance.InMaintenance`` if a store is closed
    to writes, and ``OSError`` if the line cannot be written. If a store is away or ``migrations.NotMigrated``
    is raised, repeating it does the rest.
    """

    def say(line: str) -> None:
        out.write(f"{line}\n")

    for alias in KINDS[what].stores:
        maintenance.check(alias)
    with without_programs(SCHEMAS), _audited(what, rows):
        # the last position assigned; if the log is lost, the highest one known to the read models
        known = max(administration.last_position(), last_position_of_read_models())
        for alias in reversed(KINDS[what].stores):
            _reset(alias, say, known)
        if what == "events":
            # this raises the head above every position that a client may remember, so that none is refused
            log.append_to_instance([PublicHistoryTrimmed(before=log.database_time())])
        if what == "projections":
            for note in rebuilding.rebuild_beside(list(PROJECTORS.values()), out):
                say(note)
    say(KINDS[what].done)


def _reset(alias: str, say: Say, known: int) -> None:
    """Drop what is ours in a store and migrate it from zero, in one transaction, under its lock."""
    if alias == "projections" and administration.last_position():
        # retention must not rely on rows that are gone
        retention.acknowledge(dict.fromkeys(PROJECTORS, 0))
    with exclusive(raw_connection(alias), alias, say), transaction.atomic(using=alias):
        connection = cast(Connection, connections[alias].connection)
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        tables = set(map(str, inventory.owned_tables(connection, alias)))
        # the ledger of erased accounts, which names nobody, is kept: restores of older backups need it
        erased = list(ErasedAccount.objects.all()) if "system.erased_accounts" in tables else []
        inventory.drop(connection, alias)
        note = read_note(connection, alias)
        if note is not None and note.state == "restoring":  # and that restore was given up
            write_note(connection, alias, None)
        migrations.migrate(alias, say, verbosity=0)
        if alias == "system":
            ErasedAccount.objects.bulk_create(erased)
            reference.up(say)
        if alias == "events":
            # in an epoch of its own, no position is assigned twice and older cursors are rejected
            administration.begin_epoch(known)


@contextmanager
def _audited(what: What, rows: Rows) -> Iterator[None]:
    """Write a line before and one after, to $BALADOS_HOME/resets.log and to the log."""
    _write("begun", what, rows)
    try:
        yield
    except BaseException as failure:
        _write(f"failed: {type(failure).__name__}", what, rows)
        raise
    _write("done", what, rows)


def operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return str(os.getuid())


def _write(state: str, what: What, rows: Rows) -> None:
    at, by = datetime.now(UTC).isoformat(timespec="seconds"), operator()
    settings.BALADOS_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = settings.BALADOS_HOME / AUDIT
    with open(file, "a", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
        opened.write(json.dumps({"at": at, "state": state, "reset": what, "by": by, "rows": rows}) + "\n")
    logger.warning("reset %s", state, extra={"fields": {"reset": what, "by": by}})
