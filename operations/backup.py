"""Backups: one directory each, with a manifest; it gets its final name only when it is complete and on the
disk."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import psycopg
from psycopg import IsolationLevel, sql

from eventstore.failpoints import failpoint
from operations import erasures, maintenance
from operations.dump import dump
from operations.errors import OperatorError, Refused
from operations.inventory import TEXT, TableSum, table_sums
from operations.stores import Connection, connect, parameters, place, read_note

Store = Literal["events", "system"]

MANIFEST, DUMP, ERASURES = "manifest.json", "store.dump", "erasures"
PARTIAL = ".partial"
# Whoever has a session's key is logged in. Without sessions, a stolen backup logs nobody in, and a restored
# one revives no session that has ended since.
WITHOUT_ROWS = {"system": ("system.sessions",), "events": ()}
HEAD = {"events": "SELECT coalesce(max(position), 0) FROM events.events", "system": "SELECT 0"}
APPLIED = sql.SQL("SELECT app, name FROM {}.django_migrations ORDER BY id")


class Damaged(OperatorError):
    """A backup does not match its manifest, or has none."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says about itself, all of it as of one moment.

    ``major``: PostgreSQL's major version. ``head``: the highest position. ``migrations``: those applied, as
    [app, name]. ``tables``: sums by "schema.table". ``files``: their SHA-256.
    """

    store: Store
    taken_at: datetime
    major: int
    place: str
    head: int
    migrations: list[tuple[str, str]]
    tables: dict[str, TableSum]
    files: dict[str, str]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


class Backup(msgspec.Struct, frozen=True):
    path: Path
    manifest: Manifest

    def __str__(self) -> str:
        manifest = self.manifest
        head = f", up to position {manifest.head:,}" if manifest.store == "events" else ""
        size = sum((self.path / name).stat().st_size for name in manifest.files)
        return (
            f"{self.path.name}: {len(manifest.tables)} tables with {manifest.rows:,} rows{head},"
            f" {size / 1e6:,.1f} MB"
        )


def take(alias: Store, to: Path, keep: int | None = None) -> Backup:
    """Back up a store into a new directory below ``to``, and delete all but the newest ``keep`` backups.

    Raises ``Refused``, ``dump.ToolFailed``, ``OSError``, ``psycopg.Error``; then nothing is left that could
    be mistaken for a backup.
    """
    _check_place(alias)
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(to):
        for left in to.glob(f"{alias}-[0-9]*{PARTIAL}"):  # left by a process that was killed
            shutil.rmtree(left)
        now = datetime.now(UTC)
        done = to / f"{alias}-{now:%Y%m%dT%H%M%S.%fZ}"
        partial = done.with_name(f"{done.name}{PARTIAL}")
        partial.mkdir(mode=0o700)
        try:
            manifest = _dump(alias, partial, now)
            _write(partial / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
            _sync(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        failpoint("complete")
        partial.rename(done)
        _sync(to)
        for old in _all(to, alias)[keep:] if keep is not None else ():
            # renamed to an unfinished one first, so that a half-deleted backup is never taken for a whole one
            shutil.rmtree(old.path.rename(old.path.with_name(f"{old.path.name}{PARTIAL}")))
    return Backup(done, manifest)


def read(directory: Path) -> Backup:
    """Return the backup in ``directory``. Raises ``Damaged``, ``OSError``."""
    if directory.name.endswith(PARTIAL):
        raise Damaged(f"{directory} was never finished: it is no backup.")
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise Damaged(f"{directory} is no backup: there is no {MANIFEST} in it.") from None
    except msgspec.DecodeError as error:
        raise Damaged(f"{directory / MANIFEST} cannot be read: {error}") from error
    return Backup(directory, manifest)


def find(path: Path, alias: Store) -> Backup:
    """Return the backup at ``path``, or the store's newest in the directory ``path``. Raises ``Damaged``."""
    path = path.resolve()  # the parent of "." is "." itself
    if (path / MANIFEST).exists() or not path.is_dir():
        found = read(path)
        if found.manifest.store != alias:
            raise Damaged(f"{found.path} is a backup of the {found.manifest.store} store, not of {alias}.")
        return found
    if not (complete := _all(path, alias)):
        raise Damaged(f"In {path} is no complete backup of the {alias} store.")
    return complete[0]


def verify(backup: Backup) -> None:
    """Compare every file with its SHA-256 in the manifest. Raises ``Damaged``, ``OSError``."""
    for name, expected in backup.manifest.files.items():
        file = backup.path / name
        if not file.is_file():
            raise Damaged(f"{file} is missing.")
        if _sha256(file) != expected:
            raise Damaged(f"{file} is damaged: its SHA-256 is not the manifest's.")


def write_ledger(to: Path) -> int:
    """Write only the ledger of erased accounts, as ``to/erasures``; return the number of accounts in it."""
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = erasures.known()
    new = to / f"{ERASURES}{PARTIAL}"
    _write(new, erasures.text(known))
    new.replace(to / ERASURES)
    _sync(to)
    return len(known)


def snapshot_reader(alias: str) -> Connection:
    """Connect to a store: the transaction sees one snapshot, and rows are read as ``table_sums`` needs."""
    connection = psycopg.connect(**{**parameters(alias), "options": TEXT}, application_name="store_backup")
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def _dump(alias: Store, partial: Path, now: datetime) -> Manifest:
    where, without = place(alias), WITHOUT_ROWS[alias]
    with snapshot_reader(alias) as connection:
        # the first statement fixes the snapshot for all the others and for pg_dump
        ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
        dump(alias, parameters(alias), where.major, partial / DUMP, snapshot, without)
        failpoint("dumped")
        ((head,),) = connection.execute(HEAD[alias]).fetchall()
        tables = table_sums(connection, alias, without)
        migrations = connection.execute(APPLIED.format(sql.Identifier(alias))).fetchall()
    (partial / DUMP).chmod(0o600)  # pg_dump has already flushed it to the disk
    _write(partial / ERASURES, erasures.text(erasures.known()))
    return Manifest(
        store=alias,
        taken_at=now,
        major=where.major,
        place=str(where),
        head=head,
        migrations=migrations,
        tables=tables,
        files={name: _sha256(partial / name) for name in (DUMP, ERASURES)},
    )


def _check_place(alias: Store) -> None:
    """Refuse to back up a store from a place that it was moved away from, or that is still being filled.

    A nightly job that still has the setting from before a move would replace the good backups with useless
    ones.
    """
    with connect(alias) as connection:
        note, status = read_note(connection, alias), maintenance.status(connection, alias)
    if note is not None and status in ("moved", "filling"):
        raise Refused(f"No backup of the {alias} store from here. {maintenance.message(alias, note)}")


def _all(directory: Path, alias: Store) -> list[Backup]:
    """Return the complete backups of a store in a directory, newest first."""
    found = []
    for manifest in sorted(directory.glob(f"{alias}-[0-9]*/{MANIFEST}"), reverse=True):
        with contextlib.suppress(Damaged):
            found.append(read(manifest.parent))
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, and wait until it is on the disk."""
    with open(file, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened)


def _sync(directory: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    with _opened(directory) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with _opened(directory) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Another process is making a backup in {directory}.") from None
        yield
