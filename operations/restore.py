"""Restoring a store from a backup, and what has to follow.

No number that was already assigned may get a second meaning, the read models must show the log that is there,
and erased accounts must stay erased. Until all of that is done, the note on the store says that it is being
restored: a restore that was killed is run again from the start, and nothing begins to serve a half-restored
store.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import redis
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from accounts import ledger
from accounts.models import User
from eventstore import administration, instance, log
from eventstore.domain.checkpoint import PublicHistoryTrimmed
from eventstore.failpoints import failpoint
from operations import backup, dump, erasures, inventory, maintenance, stores
from operations.backup import Backup, Damaged, Store
from operations.errors import Refused
from operations.exclusive import Say
from operations.offline import disconnect, last_position_of_read_models, without_programs
from operations.stores import Connection, Note, place, read_note, write_note

# tables with rows that a restore must not overwrite; of the events, only those of users count
VALUABLE = {"events": "events.events", "system": "system.users"}
# how long the locks on an empty store's tables may wait for readers
LOCK_TIMEOUT = "5s"

Rebuild = Callable[[], object]
Stopped = dict[Store, Connection]  # connections to the stores that are restored


def restore(chosen: Sequence[Backup], say: Say, rebuild: Rebuild, ledgers: Sequence[Path] = ()) -> None:
    """Fill one or both empty stores from their backups, and do what must follow.

    ``rebuild`` rebuilds the read models. ``ledgers``: files that name erased accounts, besides those in and
    next to the backups, this machine's own and what the stores know. Raises ``Damaged``, ``Refused``,
    ``stopped.StillRunning`` and ``maintenance.InMaintenance`` before anything is touched. After
    ``dump.ToolFailed``, the errors of a store that is away, and ``Damaged`` for rows that differ from the
    manifest, the store stays marked as being restored: repeat it.
    """
    for each in chosen:
        say(f"Checking {each.path}")
        backup.verify(each)
    with _stopped_server([each.manifest.store for each in chosen], say) as stopped:
        for each in chosen:
            _check_version(each)
            _check_empty(stopped[each.manifest.store], each.manifest.store)
        known = erasures.known((*ledgers, *(file for each in chosen for file in _ledgers_beside(each.path))))
        # the tables in which the stores record erased accounts are dropped with their schemas
        ledger.append(Path(settings.ERASURE_LEDGER), known)
        for each in chosen:
            _fill(stopped[each.manifest.store], each, say)
        _follow_up(stopped, known, say, rebuild)


def adopt(aliases: Sequence[Store], say: Say, rebuild: Rebuild, ledgers: Sequence[Path] = ()) -> None:
    """Do what must follow a restore by PostgreSQL's own means. Raises what ``restore`` raises."""
    with _stopped_server(aliases, say) as stopped:
        for alias, connection in stopped.items():
            if maintenance.status(connection, alias) == "filling":
                raise Refused(
                    f"The {alias} store in {place(alias)} was being filled by store_split when it"
                    " was copied: it does not hold everything. Take a copy of the old place."
                    " Nothing was touched."
                )
        for alias, connection in stopped.items():
            maintenance.disable(connection, alias, Note("restoring"))
        _follow_up(stopped, erasures.known(ledgers), say, rebuild)


def _follow_up(stopped: Stopped, known: set[str], say: Say, rebuild: Rebuild) -> None:
    """Do what must follow a restore. Can be repeated from the beginning."""
    _unite(stopped)
    disconnect()
    stores.migrate(0, say)
    if "events" in stopped:
        following = administration.begin_epoch(last_position_of_read_models())
        failpoint("renumbered")
        # this raises the head above every position that a client may remember, so that none is refused
        before = log.database_time() - timedelta(days=settings.RETENTION_DAYS)
        log.append_to_instance([PublicHistoryTrimmed(before=before)])
        say(f"New events have positions from {following:,} on; cursors of syncs from before get everything.")
    again = erasures.reapply(known)
    say(f"{again} of {len(known)} accounts known to be erased were in it, and are erased again.")
    if "system" in stopped:
        strangers = len(set(log.users()) - set(User.objects.values_list("pk", flat=True)))
        say(f"{strangers} listeners have events and no account: they registered after the backup.")
    failpoint("erased")
    if "events" in stopped:
        rebuild()
        say("The read models are rebuilt.")
    for alias, connection in stopped.items():
        write_note(connection, alias, None)


def _unite(stopped: Stopped) -> None:
    """Give all stores the instance id of what was restored: it may differ from that of the instance begun
    here."""
    (id_, *_) = [id_ for alias, connection in stopped.items() if (id_ := instance.read(connection, alias))]
    for alias in stores.SCHEMAS:
        with stores.connect(alias) as connection:
            instance.write(connection, alias, id_)


def _fill(connection: Connection, chosen: Backup, say: Say) -> None:
    manifest, alias = chosen.manifest, chosen.manifest.store
    where = place(alias)
    _empty(connection, alias)
    failpoint("emptied")
    say(f"{alias}: loading {manifest.rows:,} rows into {where}")
    version = max(where.major, manifest.major)
    dump.load(alias, stores.parameters(alias), version, chosen.path / backup.DUMP)
    failpoint("loaded")
    with backup.snapshot_reader(alias) as reader:
        found = inventory.table_sums(reader, alias, backup.WITHOUT_ROWS[alias])
    if unlike := [name for name in found | manifest.tables if found.get(name) != manifest.tables.get(name)]:
        raise Damaged(
            f"{', '.join(sorted(unlike))}: not what the backup's manifest says. Do not use this store."
        )
    maintenance.disable(connection, alias, Note("restoring"))  # the backup may be of a closed store
    connection.execute("ANALYZE")
    say(f"{alias}: {len(found)} tables hold what the manifest says, row by row")


@contextlib.contextmanager
def _stopped_server(aliases: Sequence[Store], say: Say) -> Iterator[Stopped]:
    """Connect to these stores, after checking that all that is needed answers and nobody else uses them.

    Raises ``StillRunning``, ``maintenance.InMaintenance`` if one of the other stores, which are written to
    as well, is closed, and the errors of what does not answer.
    """
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        server.ping()
    stores.create(say=say, anew=stores.LASTING)  # a lost store may begin empty: it is restored next
    for other in stores.SCHEMAS.keys() - set(aliases):
        maintenance.check(other)
    with without_programs(aliases) as connections:
        yield connections


def _check_version(chosen: Backup) -> None:
    """Raise ``Refused`` for a backup made by a newer program, or from a newer server, than there is here."""
    ours, made = set(MigrationLoader(None).disk_migrations), chosen.manifest
    if unknown := [f"{app}.{name}" for app, name in made.migrations if (app, name) not in ours]:
        raise Refused(
            f"{chosen.path.name} was made by a newer program, which knows {', '.join(unknown)}:"
            " update this one first. Nothing was touched."
        )
    here = place(made.store)
    if here.major < made.major:
        raise Refused(
            f"The backup is of PostgreSQL {made.major}, and {here} has {here.version}: give the store a"
            f" server of version {made.major} or newer. Nothing was touched."
        )


def _check_empty(connection: Connection, alias: Store) -> None:
    """Raise ``Refused`` if a store has rows that count.

    None count in a store that is not initialised, or after a restore that was killed.
    """
    table, note = VALUABLE[alias], read_note(connection, alias)
    exists = connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,)
    if not exists or (note is not None and note.state == "restoring"):
        return
    if alias == "events":
        rows = administration.count_user_events(connection)
    else:
        ((rows,),) = connection.execute("SELECT count(*) FROM system.users").fetchall()
    if rows:
        raise Refused(
            f"The {alias} store in {place(alias)} is not empty ({table}: {rows:,})."
            " A restore overwrites nothing: give the store an empty database in its URL, or empty this one"
            f" with db_reset --{alias}. Nothing was touched."
        )


def _empty(connection: Connection, alias: Store) -> None:
    """Replace the schemas, whose tables are empty, with empty ones: the dump has the tables. Raises
    ``Refused``."""
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        _check_empty(connection, alias)
        for schema in map(sql.Identifier, stores.SCHEMAS[alias]):
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        write_note(connection, alias, Note("restoring"))


def _ledgers_beside(path: Path) -> list[Path]:
    """Return the ledgers in a backup, in its neighbours, which may be newer, and beside them."""
    path = path.resolve()
    return [*path.parent.glob(f"*/{backup.ERASURES}"), *path.parent.glob(backup.ERASURES)]
