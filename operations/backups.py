"""Backups: a directory for each, with a manifest, that has its name only when it is whole and on the disk."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import msgspec
import psycopg
from psycopg import sql

from eventstore.failpoints import failpoint
from operations import clusters, dumps, erasures, fence, stores
from operations.inventory import Place, place
from operations.sums import TableSum, reading, table_sums

FORMAT = 1
MANIFEST, DUMP, CLUSTER, ERASURES = "manifest.json", "store.dump", "cluster", "erasures"
PARTIAL = ".partial"
# Keys to browsers: a backup that is stolen opens no session, one that is restored brings none back that was
# ended since.
LEFT_OUT = {"system": ("system.django_session",), "events": ()}
# Everything that the snapshot holds was in the WAL before this: replayed up to here, it is there.
LSN = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text
"""
HEAD = {"events": "SELECT coalesce(max(position), 0) FROM events.events", "system": "SELECT 0"}

Store = Literal["events", "system"]
Kind = Literal["dump", "cluster"]


class Damaged(Exception):
    """A backup is not what its manifest says, or has none; the text says what is the matter."""


class Busy(Exception):
    """Another process makes a backup of this store in the same directory."""


class File(msgspec.Struct, frozen=True):
    """``size`` in bytes."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself.

    ``head``: the highest position in it. ``wal``: of its server, at the moment that it shows. ``tables``:
    rows and sums at that moment, by "schema.table". ``migrations``: applied then, as [app, name].
    """

    format: int
    store: Store
    kind: Kind
    taken_at: datetime
    program: str
    server: str
    major: int
    system: int
    database: str
    wal: str
    head: int
    migrations: list[tuple[str, str]]
    tables: dict[str, TableSum]
    files: dict[str, File]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files.values())


class Elsewhere(Exception):
    """The store was moved away from here, or is not whole here yet; the text says where it is."""


class Backup(msgspec.Struct, frozen=True):
    path: Path
    manifest: Manifest

    def __str__(self) -> str:
        told = self.manifest
        if told.kind == "cluster":
            return (
                f"{self.path.name}: the whole server of the {told.store} store, up to {told.wal} of its WAL"
            )
        head = f", up to position {told.head:,}" if told.store == "events" else ""
        return (
            f"{self.path.name}: {len(told.tables)} tables with {told.rows:,} rows{head},"
            f" {told.size / 1e6:,.1f} MB"
        )


def take(alias: Store, to: Path, *, cluster: bool = False, keep: int | None = None) -> Backup:
    """Back up a store, or its whole server, into a directory of its own below ``to``.

    Afterwards at most ``keep`` of this store and kind are left. Raises ``Elsewhere``, ``Busy``,
    ``dumps.ProgramFailed``, ``NoTool``, ``OSError``, ``psycopg.Error``: then nothing is left that could be
    taken for a backup.
    """
    _refuse_what_is_elsewhere(alias)
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefix = f"{alias}-cluster" if cluster else alias
    with _alone(to / f".{prefix}.lock"):
        for left in to.glob(f"{prefix}-[0-9]*{PARTIAL}"):  # of a process that was killed
            shutil.rmtree(left)
        now = datetime.now(UTC)
        partial = to / f"{_free_name(to, f'{prefix}-{now:%Y%m%dT%H%M%SZ}')}{PARTIAL}"
        partial.mkdir(mode=0o700)
        try:
            manifest = (_copied if cluster else _dumped)(alias, partial, now)
            failpoint("copied")
            _write(partial / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
            _sync(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        failpoint("complete")
        done = partial.with_name(partial.name.removesuffix(PARTIAL))
        partial.rename(done)
        _sync(to)
        if keep is not None:
            for old in _of_kind(to, alias, manifest.kind)[keep:]:
                _remove(old.path)
    return Backup(done, manifest)


def _refuse_what_is_elsewhere(alias: Store) -> None:
    """A nightly job that kept the old setting would back up the old place for ever, and push out the good."""
    with psycopg.connect(**stores.parameters(alias), autocommit=True) as connection:
        note = fence.read(connection, alias)
    if note is not None and note.state in ("moved", "filling", "abandoned"):
        raise Elsewhere(f"No backup of the {alias} store from here. {fence.words(alias, note)}")


def read(path: Path) -> Backup:
    """The backup at ``path``, a directory or the manifest in it. Raises ``Damaged``, ``OSError``."""
    directory = path.parent if path.name == MANIFEST else path
    if directory.name.endswith(PARTIAL):
        raise Damaged(f"{directory} was never finished: it is no backup.")
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise Damaged(f"{directory} is no backup: there is no {MANIFEST} in it.") from None
    except msgspec.DecodeError as error:
        raise Damaged(f"{directory / MANIFEST} cannot be read: {error}") from error
    if manifest.format > FORMAT:
        raise Damaged(f"{directory} was made by a newer program: update this one first.")
    return Backup(directory, manifest)


def find(path: Path, alias: Store) -> Backup:
    """The backup at ``path``, or the newest dump of a store among those in ``path``.

    Raises ``Damaged`` where there is none, or it is another store's.
    """
    # "." has no name that could be told, and no neighbours
    path = path.resolve()
    if (path / MANIFEST).exists() or path.name == MANIFEST or not path.is_dir():
        found = read(path)
        if found.manifest.store != alias:
            raise Damaged(f"{found.path} is a backup of the {found.manifest.store} store, not of {alias}.")
        return found
    newest = _of_kind(path, alias, "dump")[:1] or _of_kind(path, alias, "cluster")[:1]
    if not newest:
        raise Damaged(f"In {path} is no complete backup of the {alias} store.")
    return newest[0]


def verify(backup: Backup) -> None:
    """Hold every file against the manifest's sums. Raises ``Damaged``, ``NoTool``, ``OSError``."""
    for name, told in backup.manifest.files.items():
        file = backup.path / name
        if not file.is_file():
            raise Damaged(f"{file} is missing.")
        if (size := file.stat().st_size) != told.size:
            raise Damaged(f"{file} has {size:,} bytes, and should have {told.size:,}.")
        if clusters.sha256(file) != told.sha256:
            raise Damaged(f"{file} is damaged: its SHA-256 is another than the manifest's.")
    if backup.manifest.kind == "cluster":
        try:
            clusters.verify(backup.path / CLUSTER)
        except clusters.ClusterDamaged as damage:
            raise Damaged(str(damage)) from damage


def keep_ledger(to: Path) -> int:
    """The ledger of erased accounts alone, as ``to/erasures``; returns how many are in it."""
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = erasures.known()
    new = to / f"{ERASURES}{PARTIAL}"
    new.unlink(missing_ok=True)
    _write(new, erasures.text(known))
    new.replace(to / ERASURES)
    _sync(to)
    return len(known)


def _dumped(alias: Store, partial: Path, now: datetime) -> Manifest:
    left_out = LEFT_OUT[alias]
    where = place(alias)
    with reading(alias) as connection:
        # the first statement decides what all the others, and pg_dump, see
        snapshot = _value(connection, "SELECT pg_export_snapshot()")
        wal = _value(connection, LSN)
        head = _value(connection, HEAD[alias])
        source = stores.parameters(alias)
        dumps.dump(alias, source, where.major, snapshot, partial / DUMP, left_out)
        failpoint("dumped")
        tables = table_sums(connection, alias, left_out)
        migrations = _applied(connection, alias)
    _write(partial / ERASURES, erasures.text(erasures.known()))
    return _manifest(
        where,
        store=alias,
        kind="dump",
        taken_at=now,
        wal=wal,
        head=head,
        migrations=migrations,
        tables=tables,
        files=_files(partial, [partial / DUMP, partial / ERASURES]),
    )


def _copied(alias: Store, partial: Path, now: datetime) -> Manifest:
    where = place(alias)
    cluster = partial / CLUSTER
    dumps.copy_cluster(stores.parameters(alias), where.major, cluster)
    failpoint("dumped")
    clusters.make_startable(cluster)
    sent = clusters.sent(cluster)
    _write(partial / ERASURES, erasures.text(erasures.known()))
    # the server's manifest names all files but those of the WAL, which were streamed beside
    wal = sorted(file for file in (cluster / "pg_wal").rglob("*") if file.is_file())
    return _manifest(
        where,
        store=alias,
        kind="cluster",
        taken_at=now,
        wal=sent["WAL-Ranges"][-1]["End-LSN"],
        head=0,
        migrations=[],
        tables={},
        files=_files(partial, [cluster / clusters.SENT, *wal, partial / ERASURES]),
    )


def _manifest(where: Place, **told: Any) -> Manifest:
    return Manifest(
        format=FORMAT,
        program=_program(),
        server=where.version,
        major=where.major,
        system=where.system,
        database=where.database,
        **told,
    )


def _value(connection: psycopg.Connection[Any], statement: str) -> Any:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def _applied(connection: psycopg.Connection[Any], alias: Store) -> list[tuple[str, str]]:
    table = sql.Identifier(stores.SCHEMAS[alias][0], "django_migrations")
    return connection.execute(sql.SQL("SELECT app, name FROM {} ORDER BY id").format(table)).fetchall()


def _of_kind(directory: Path, alias: Store, kind: Kind) -> list[Backup]:
    """The complete ones, the newest first."""
    found = []
    for manifest in directory.glob(f"{alias}-*/{MANIFEST}"):
        with contextlib.suppress(Damaged):
            backup = read(manifest)
            if (backup.manifest.store, backup.manifest.kind) == (alias, kind):
                found.append(backup)
    return sorted(found, key=lambda backup: (backup.manifest.taken_at, backup.path.name), reverse=True)


def _remove(old: Path) -> None:
    """Under the name of an unfinished one, so that what is half gone is never taken for a backup."""
    going = old.with_name(f"{old.name}{PARTIAL}")
    old.rename(going)
    failpoint("removing")
    shutil.rmtree(going)


def _free_name(directory: Path, name: str) -> str:
    number, free = 1, name
    while (directory / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free


def _files(directory: Path, files: Iterable[Path]) -> dict[str, File]:
    found = {}
    for file in files:
        file.chmod(0o600)
        _sync(file)
        found[str(file.relative_to(directory))] = File(file.stat().st_size, clusters.sha256(file))
    return found


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(path: Path) -> None:
    """Let the disk have it: a file's content, or a directory's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _program() -> str:
    try:
        return metadata.version("balados")
    except metadata.PackageNotFoundError:
        return "unknown"


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"Another process is making this backup in {lock.parent}.") from None
        yield
