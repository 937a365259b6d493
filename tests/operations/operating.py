"""An operator at a shell, with stores that no other test uses."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests import leaks

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {"system": "DATABASE_URL", "projections": "PROJECTIONS_URL", "events": "EVENT_STORE_URL"}
# settings of the test run itself, which an operator's environment does not have
OURS = {"DJANGO_SETTINGS_MODULE", *VARIABLES.values()}


class Operator:
    """An operator whose stores are at ``urls``, by alias. Each command runs ``manage.py`` as a process."""

    def __init__(self, urls: dict[str, str], home: Path, **environment: str) -> None:
        self.urls = urls
        kept = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment = {**kept, "BALADOS_HOME": str(home), **environment}
        self.environment |= {VARIABLES[alias]: url for alias, url in urls.items()}

    def run(self, *arguments: str, typed: str = "", code: int = 0, **environment: str) -> str:
        """Return a command's output with stderr. ``typed`` is piped in. Fails unless it exits with
        ``code``."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env={**self.environment, **environment},
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
        )
        output = done.stdout + done.stderr
        leaks.keep(f"manage.py {arguments[0]}", output)
        assert done.returncode == code, output
        assert "Traceback" not in output
        return output

    def type(self, *arguments: str, answers: Sequence[str], code: int = 0, **environment: str) -> str:
        """Run a command at a terminal: each of ``answers`` is typed when it asks (``… to confirm: ``)."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        output = ""
        left = list(answers)
        deadline = time.monotonic() + 120
        try:
            while time.monotonic() < deadline:
                if select.select([ours], [], [], 0.1)[0]:
                    try:
                        read = os.read(ours, 4096)
                    except OSError:  # the process has closed the other end
                        break
                    if not read:
                        break
                    output += read.decode(errors="replace")
                if left and output.endswith("to confirm: "):
                    os.write(ours, f"{left.pop(0)}\n".encode())
            assert process.wait(30) == code, output
        finally:
            process.kill()
            os.close(ours)
        assert "Traceback" not in output
        return output.replace("\r\n", "\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments]

    def connect(self, alias: str) -> psycopg.Connection[Any]:
        """Return a new connection to a store, in autocommit mode."""
        return psycopg.connect(self.urls[alias], autocommit=True)

    def count(self, alias: str, table: str) -> int:
        """Return the number of rows in ``schema.table``."""
        with self.connect(alias) as connection:
            statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".")))
            row = connection.execute(statement).fetchone()
        assert row
        return int(row[0])

    def schemas(self, alias: str) -> set[str]:
        """Return the schemas of the store's database, without PostgreSQL's own."""
        with self.connect(alias) as connection:
            found = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
        return {name for (name,) in found if not re.match("pg_|information_schema", name)}


def urls_on(base: str, name: str, *, three: bool) -> dict[str, str]:
    """Return URLs of stores called ``name``, in one database or in three, on the server of ``base``."""
    suffixes = {"system": "", "projections": "_projections", "events": "_events"}
    return {
        alias: re.sub(r"/[a-z0-9_]+(?=\?|$)", f"/{name}{suffix if three else ''}", base, count=1)
        for alias, suffix in suffixes.items()
    }


def drop(urls: dict[str, str]) -> None:
    """Drop the databases of ``urls``, even if somebody is connected to them."""
    for url in set(urls.values()):
        params = psycopg.conninfo.conninfo_to_dict(url)
        name = str(params["dbname"])
        with psycopg.connect(**{**params, "dbname": "postgres"}, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
