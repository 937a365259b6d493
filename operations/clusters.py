"""A copy of a whole PostgreSQL server, held against the manifest that the server sent along with it.

What pg_verifybackup does, but for looking into the WAL. It must be of the server's own version, and the one
in the embedded PostgreSQL 18.4 crashes on start.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

SENT = "backup_manifest"
# Of a server whose socket is in its data directory, as that of the embedded one is: a server does not start
# where it finds this.
LOCKS = ".s.PGSQL.*.lock"


class ClusterDamaged(Exception):
    """A file is missing or another than the server sent; the text says which."""


def sent(directory: Path) -> dict[str, Any]:
    """The manifest as the server made it, whole. Raises ``ClusterDamaged``, ``OSError``."""
    raw = (directory / SENT).read_bytes()
    try:
        manifest: dict[str, Any] = msgspec.json.decode(raw)
        # the last line is the sum of all before it
        lines = raw.rstrip(b"\n").rpartition(b"\n")
        whole = hashlib.sha256(lines[0] + b"\n").hexdigest() == manifest["Manifest-Checksum"]
    except (msgspec.DecodeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ClusterDamaged(f"{directory / SENT} is damaged.")
    return manifest


def make_startable(directory: Path) -> None:
    """Take out what the running server left there for itself."""
    for lock in directory.glob(LOCKS):
        lock.unlink()


def verify(directory: Path) -> None:
    """Every file that the manifest names is there, and is what was sent. Raises as ``sent`` does."""
    for told in sent(directory)["Files"]:
        name = told["Path"] if "Path" in told else os.fsdecode(bytes.fromhex(told["Encoded-Path"]))
        file = directory / name
        if Path(name).match(LOCKS):
            continue
        if not file.is_file():
            raise ClusterDamaged(f"{file} is missing.")
        if file.stat().st_size != told["Size"] or sha256(file) != told["Checksum"]:
            raise ClusterDamaged(f"{file} is damaged.")


def sha256(file: Path) -> str:
    """In hexadecimal. Raises ``OSError``."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
