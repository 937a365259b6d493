"""Running PostgreSQL's own programs for a copy of a store: pg_dump, pg_restore, pg_basebackup."""

import errno
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from operations.stores import SCHEMAS
from operations.tools import tool


class ProgramFailed(Exception):
    """One of them ended badly; the text has its first line (the others may hold a row)."""


def dump(
    alias: str, source: Mapping[str, Any], version: int, snapshot: str, file: Path, besides: Sequence[str]
) -> None:
    """Write a store's schemas, as they are in ``snapshot``, to ``file``; no rows of the tables ``besides``.

    ``source`` is what ``stores.parameters`` gives, ``version`` the server's. Raises ``ProgramFailed``,
    ``NoTool``, ``OSError``.
    """
    _run(
        "pg_dump",
        version,
        source,
        "--format=custom",
        f"--snapshot={snapshot}",
        f"--file={file}",
        "--no-owner",
        "--no-privileges",
        "--lock-wait-timeout=60s",
        *(f"--schema={schema}" for schema in SCHEMAS[alias]),
        *(f"--exclude-table-data={table}" for table in besides),
        into=file,
    )


def load(alias: str, target: Mapping[str, Any], version: int, file: Path) -> None:
    """Fill a store's schemas, which are there and empty, from such a file: all of it or nothing.

    ``version``: the newer one of the server's and the file's. Raises as ``dump`` does.
    """
    _run(
        "pg_restore",
        version,
        target,
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        # objects in the schema, and not the schema itself
        *(f"--schema={schema}" for schema in SCHEMAS[alias]),
        str(file),
    )


def copy_cluster(source: Mapping[str, Any], version: int, directory: Path) -> None:
    """Copy the data directory of a whole running server, with the WAL that it needs to start."""
    _run(
        "pg_basebackup",
        version,
        {name: value for name, value in source.items() if name != "dbname"},
        f"--pgdata={directory}",
        "--format=plain",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        into=directory,
    )


def _run(
    name: str, version: int, server: Mapping[str, Any], *arguments: str, into: Path | None = None
) -> None:
    # the password goes by the environment: arguments can be read by all
    plain = {key: value for key, value in server.items() if key != "password"}
    command = [tool(name, version), "--no-password", f"--dbname={make_conninfo(**plain)}", *arguments]
    secret = {"PGPASSWORD": str(server["password"])} if server.get("password") else {}
    _ended(name, command, secret, into)


def _ended(name: str, command: list[str], secret: dict[str, str], into: Path | None = None) -> None:
    done = subprocess.run(  # noqa: S603
        command,
        env={**os.environ, **secret, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return
    if into is not None and os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(into.parent))
    said = [line for line in done.stderr.splitlines() if "error:" in line or "ERROR:" in line]
    first = (said or done.stderr.splitlines() or [f"exit code {done.returncode}"])[0]
    raise ProgramFailed(f"{name} failed: {first.partition('error: ')[2] or first}")
