"""Bringing a store back from a backup, and what has to follow: nothing that was given out means two things,
the read models show the log that is there, and who was erased stays erased.

A store that is being restored says so (in its schema's comment) from before its first row until all of that
is done: whatever kills a restore, it is begun anew, and nothing starts to serve what is half there.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from accounts import ledger
from accounts.models import User
from eventstore import administration, dispatcher, log
from eventstore.domain.retention import PublicHistoryTrimmed
from eventstore.failpoints import failpoint
from operations import backups, dumps, erasures, fence, inventory, stores
from operations.backups import Backup, Damaged, Store
from operations.sums import reading, table_sums
from projections.connect import connect
from projections.locks import try_lock
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild

# What is in a store before anybody has used it, or is put back by what follows a restore.
NOBODYS: Final = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "django_session",
    "setup",
    "categories",
    "erased_accounts",
    # names alone: of the instance's own stream, say
    "streams",
    "projection_versions",
    "restores",
}
LEFT_BY_A_RESET: Final = {"events.events", "events.snapshots"}
ANALYZE = "ANALYZE {table}"
# programs of ours have names of this form (balados/databases.py, projections/connect.py)
SERVED = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'balados-%' AND pid <> pg_backend_pid()
"""
REACHED = 'SELECT coalesce(max(position), 0), count(*) FROM "users"."projector_positions"'
# an exclusive lock waits at most so long for whoever still looks at an empty store
PATIENCE = "5s"
SECONDS_TO_LEAVE = 3.0

Say = Callable[[str], object]
Build = Callable[[], None]


class Refused(Exception):
    """Nothing was touched; the text says why, and what to do."""


class Unlike(Exception):
    """What was restored is not what the backup's manifest says."""


def restore(
    chosen: Sequence[Backup],
    say: Say,
    build: Build | None = None,
    ledgers: Sequence[Path] = (),
) -> None:
    """Fill one empty store, or both, from backups of theirs, and do what must follow.

    ``build`` builds the read models anew (by default: without a word). ``ledgers``: files that name erased
    accounts, beside those in and next to the backups, this machine's own and what the stores know. Raises
    ``Damaged`` and ``Refused`` before anything is touched; ``Unlike``, ``dumps.ProgramFailed`` and the errors
    of a store that is away after that: then the store stays marked as being restored, and a repeat begins
    anew. ``fence.InMaintenance`` where another store is closed.
    """
    for backup in chosen:
        say(f"Checking {backup.path}")
        backups.verify(backup)
        _refuse_cluster(backup)
        _refuse_newer(backup)
    aliases = [backup.manifest.store for backup in chosen]
    _ready(aliases, say)
    with _alone(aliases):
        for backup in chosen:
            _refuse_older_server(backup)
            _refuse_full(backup.manifest.store)
        known = erasures.known((*ledgers, *(file for backup in chosen for file in _beside(backup.path))))
        # what the stores know of it goes with their schemas
        _keep_in_file(known)
        for backup in chosen:
            _fill(backup, say)
        _forget()
        stores.migrate(0, say)
        follow_up(aliases, known, say, build or _build)


def adopt(
    aliases: Sequence[Store],
    say: Say,
    build: Build | None = None,
    ledgers: Sequence[Path] = (),
) -> None:
    """What must follow a restore that was done by other means: a base backup, a point in time, a copy.

    Raises as ``restore`` does.
    """
    _ready(aliases, say)
    with _alone(aliases):
        for alias in aliases:
            _refuse_filling(alias)
        for alias in aliases:
            _mark(alias)
        stores.migrate(0, say)
        follow_up(aliases, erasures.known(ledgers), say, build or _build)


def follow_up(aliases: Sequence[Store], known: set[str], say: Say, build: Build) -> None:
    """The same for both ways, in this order, and may be repeated from its beginning."""
    reached, built = _read_models()
    if "events" in aliases:
        following = administration.begin_epoch(reached)
        failpoint("renumbered")
        # the head is above every position that a client may remember, so none of them is refused
        before = log.database_time() - timedelta(days=settings.RETENTION_DAYS)
        log.append_to_instance([PublicHistoryTrimmed(before=before)])
        say(f"New events have positions from {following:,} on; cursors of syncs from before get everything.")
    again = erasures.reapply(known)
    say(f"{again} of {len(known)} accounts known to be erased were in it, and are erased again.")
    if "system" in aliases and (strangers := _strangers()):
        say(f"{strangers} listeners have events and no account: they registered after the backup.")
    failpoint("erased")
    if "events" in aliases and built:
        build()
        say("The read models are rebuilt.")
    elif "events" in aliases:
        say("The read models are empty: the projectors build them when they run.")
    failpoint("rebuilt")
    for alias in aliases:
        _unmark(alias)


def _build() -> None:
    rebuild(list(PROJECTORS.values()))


def _fill(backup: Backup, say: Say) -> None:
    told = backup.manifest
    alias = told.store
    target = stores.parameters(alias)
    _empty(alias)
    failpoint("emptied")
    say(f"{alias}: loading {told.rows:,} rows into {inventory.place(alias)}")
    dumps.load(alias, target, max(inventory.place(alias).major, told.major), backup.path / backups.DUMP)
    failpoint("loaded")
    with reading(alias) as connection:
        found = table_sums(connection, alias, backups.LEFT_OUT[alias])
    tables = sorted({*found, *told.tables})
    if differing := [table for table in tables if found.get(table) != told.tables.get(table)]:
        raise Unlike(f"{', '.join(differing)}: not what the backup's manifest says. Do not use this store.")
    with psycopg.connect(**target, autocommit=True) as connection:
        _open(connection, alias)
        for table in found:
            connection.execute(sql.SQL(ANALYZE).format(table=sql.Identifier(*table.split("."))))
    say(f"{alias}: {len(found)} tables hold what the manifest says, row by row")


def _ready(aliases: Sequence[Store], say: Say) -> None:
    """Everything that will be needed answers, before anything is touched. Raises what does not, and
    ``fence.InMaintenance``: what follows a restore writes to the other stores too.
    """
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        connection.ping()
    stores.create(say=say)
    for other in stores.SCHEMAS.keys() - set(aliases):
        fence.refuse(other)


@contextlib.contextmanager
def _alone(aliases: Sequence[Store]) -> Iterator[None]:
    """No server and no other restore at the same stores. Raises ``Refused``."""
    _forget()
    with contextlib.ExitStack() as held:
        for alias in aliases:
            connection = held.enter_context(
                psycopg.connect(**stores.parameters(alias), application_name="store_restore", autocommit=True)
            )
            if not try_lock(connection, f"restore {alias}"):
                raise Refused("Another restore is running.")
            if served := _served(connection):
                raise Refused(
                    f"{served} sessions of a running Balados are connected to the {alias} store's database:"
                    " stop the web, projector, worker and beat processes first. Nothing was touched."
                )
        yield


def _served(connection: psycopg.Connection[Any]) -> int:
    """How many sessions of programs of ours stay: those that have just been closed need a moment."""
    deadline = time.monotonic() + SECONDS_TO_LEAVE
    while True:
        (sessions,) = connection.execute(SERVED).fetchall()[0]
        if not sessions or time.monotonic() > deadline:
            return int(sessions)
        time.sleep(0.05)


def _forget() -> None:
    """What this process remembers of the stores, and its connections: they may be to tables that go."""
    for alias in stores.SCHEMAS:
        connections[alias].close()
        connections[alias].close_pool()  # type: ignore[attr-defined]
    dispatcher.forget()
    log.clear_caches()


def _refuse_cluster(backup: Backup) -> None:
    if backup.manifest.kind == "cluster":
        raise Refused(
            f"{backup.path.name} is whole, and a copy of a PostgreSQL server: no store can be filled from it."
            f" Start a server on {backup.path / backups.CLUSTER} (docs/operations.md, Backups, tells how),"
            " then run store_restore --in-place."
        )


def _refuse_newer(backup: Backup) -> None:
    ours = set(MigrationLoader(None).disk_migrations)
    if unknown := [f"{app}.{name}" for app, name in backup.manifest.migrations if (app, name) not in ours]:
        raise Refused(
            f"{backup.path.name} was made by a newer program ({backup.manifest.program}), which knows"
            f" {', '.join(unknown)}: update this one first. Nothing was touched."
        )


def _refuse_older_server(backup: Backup) -> None:
    here = inventory.place(backup.manifest.store)
    if here.major < backup.manifest.major:
        raise Refused(
            f"The backup is of PostgreSQL {backup.manifest.major}, and {here} has {here.version}: give the"
            f" store a server of version {backup.manifest.major} or newer. Nothing was touched."
        )


def _refuse_filling(alias: Store) -> None:
    with psycopg.connect(**stores.parameters(alias), autocommit=True) as connection:
        note = fence.read(connection, alias)
    if note is not None and note.state == "filling":
        raise Refused(
            f"The {alias} store in {inventory.place(alias)} was being filled by store_split when it was"
            " copied: it does not hold everything. Take a copy of the old place. Nothing was touched."
        )


def _refuse_full(alias: Store) -> None:
    with psycopg.connect(**stores.parameters(alias), autocommit=True) as connection:
        if full := _full(connection, alias):
            raise Refused(_not_empty(alias, full))


def _not_empty(alias: Store, full: Sequence[str]) -> str:
    return (
        f"The {alias} store in {inventory.place(alias)} is not empty ({', '.join(full)})."
        f" A restore overwrites nothing: give the store an empty database in its URL, or empty this one with"
        f" db_reset --{alias}. Nothing was touched."
    )


def _full(connection: psycopg.Connection[Any], alias: Store) -> list[str]:
    """The tables that have rows of somebody; of a restore that was killed none counts."""
    if stores.being_restored(connection, alias):
        return []
    found = {
        table.name: table.rows
        for table in inventory.tables(connection, alias)
        if table.rows and table.name.partition(".")[2] not in NOBODYS
    }
    # a log that was just reset is not without rows
    if found and found.keys() <= LEFT_BY_A_RESET:
        found = administration.count_user_rows(connection)
    return [f"{name}: {rows:,}" for name, rows in found.items() if rows]


def _empty(alias: Store) -> None:
    """An empty schema in place of the empty tables, which a dump brings along. Raises ``Refused``."""
    with psycopg.connect(**stores.parameters(alias)) as connection, connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
        for table in inventory.tables(connection, alias):
            name = sql.Identifier(*table.name.split("."))
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
        if full := _full(connection, alias):
            raise Refused(_not_empty(alias, full))
        for schema in stores.SCHEMAS[alias]:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        _comment(connection, alias, stores.RESTORING)


def _mark(alias: Store) -> None:
    with psycopg.connect(**stores.parameters(alias), autocommit=True) as connection, connection.transaction():
        _open(connection, alias)
        _comment(connection, alias, stores.RESTORING)


def _open(connection: psycopg.Connection[Any], alias: Store) -> None:
    """A store that was closed when it was copied brings the fence along, and in a dump nothing that tells."""
    function = f"{stores.SCHEMAS[alias][0]}.{fence.NAME}"
    if connection.execute("SELECT to_regproc(%s)", [function]).fetchone() != (None,):
        with connection.transaction():
            fence.remove(connection, alias)


def _unmark(alias: Store) -> None:
    with psycopg.connect(**stores.parameters(alias), autocommit=True) as connection:
        _comment(connection, alias, None)


def _comment(connection: psycopg.Connection[Any], alias: Store, comment: str | None) -> None:
    schema = sql.Identifier(stores.SCHEMAS[alias][0])
    text = sql.NULL if comment is None else sql.Literal(comment)
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, text))


def _beside(path: Path) -> list[Path]:
    """The ledgers in a backup, in its neighbours, which may be younger, and beside them."""
    path = path.resolve()
    return [*path.parent.glob(f"*/{backups.ERASURES}"), *path.parent.glob(backups.ERASURES)]


def _keep_in_file(known: set[str]) -> None:
    file = Path(settings.ERASURE_LEDGER)
    ledger.append(file, known - (ledger.read(file) if file.exists() else set()))


def _read_models() -> tuple[int, bool]:
    """The highest position that any projector has reached, and whether any ever ran."""
    with connect("projections") as connection:
        highest, projectors = connection.execute(REACHED).fetchall()[0]
    return int(highest), projectors > 0


def _strangers() -> int:
    """Listeners with events and no account."""
    return len(set(log.users()) - set(User.objects.values_list("pk", flat=True)))


__all__ = ["Damaged", "Refused", "Unlike", "adopt", "restore"]
