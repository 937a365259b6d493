"""$BALADOS_HOME: the directory with an instance's data, secrets, sockets and locks (``make run``)."""

import contextlib
import fcntl
import os
import pwd
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# how long what a killed run has started may take to end by itself
SECONDS_TO_END = 20.0
# a unix socket's path has at most 103 bytes (macOS; Linux 107), and /.s.PGSQL.5432 takes 14 of them
LONGEST_SOCKET_DIRECTORY = 89
# libpq takes a comma for a list of hosts, PostgreSQL trims blanks and quotes
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


# the servers of an instance: what `make run` was given it remembers
URLS = ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL", "REDIS_URL")


class Refused(Exception):
    """The instance cannot start here; the text is for the operator."""


def make(home: Path) -> None:
    """Make the directory, for us alone. Raises ``Refused`` when it cannot be, or is somebody else's."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"BALADOS_HOME {home} cannot be made: {error.strerror}") from error
    owner = home.stat().st_uid
    if owner != os.geteuid():
        name = pwd.getpwuid(owner).pw_name
        raise Refused(f"BALADOS_HOME {home} belongs to {name}: run as {name}, or name another BALADOS_HOME")


@contextlib.contextmanager
def locked(home: Path) -> Iterator[int]:
    """Hold the directory for this run; yields a descriptor that every program and server has to inherit.

    Raises ``Refused`` while another run holds it. What a killed run has started ends by itself and holds the
    second lock until then: it is waited for. Whoever has got both knows that nothing of this directory runs,
    whatever numbers of processes are written in it: a copy of the directory has locks of its own.
    """
    with open(home / "supervisor.lock", "a+") as own, open(home / "programs.lock", "a+") as shared:
        if not _lock(own):
            own.seek(0)
            raise Refused(f"already running on {home} (process {own.read().strip() or 'unknown'})")
        own.truncate(0)
        own.write(str(os.getpid()))
        own.flush()
        deadline = time.monotonic() + SECONDS_TO_END
        while not _lock(shared):
            if time.monotonic() > deadline:
                raise Refused(f"programs of a run that was killed still hold {shared.name}: end them first")
            time.sleep(0.1)
        yield shared.fileno()


def variables(home: Path) -> dict[str, str]:
    """What the last run left: its secret key, its address, the URLs that it was given."""
    file = home / "environment"
    lines = file.read_text().splitlines() if file.is_file() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def remember(home: Path, chosen: dict[str, str]) -> None:
    """Leave ``chosen`` for manage.py and for the next run; readable to us alone."""
    new = home / "environment.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
    new.replace(home / "environment")


def sockets(home: Path) -> Path:
    """Where the embedded servers of ``home`` listen: in it, or, where its path cannot be that of a socket, in
    a directory named after the device and inode of ``home``, which no other directory has."""
    inside = home / "sockets"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_DIRECTORY and PLAIN_PATH.fullmatch(str(inside)):
        return inside
    found = home.stat()
    # not below TMPDIR, which may be long as well
    return Path("/tmp") / f"balados-{found.st_dev:x}-{found.st_ino:x}"  # noqa: S108


def postgres_url(home: Path, database: str = "balados") -> str:
    """The URL of ``database`` on the embedded PostgreSQL of ``home``."""
    return f"postgresql://postgres:@/{database}?host={sockets(home)}"


def redis_url(home: Path) -> str:
    return f"unix://{sockets(home) / 'redis.sock'}"


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
