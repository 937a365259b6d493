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

# seconds that processes started by a killed run may take to end by themselves
SECONDS_TO_END = 20.0
# bytes: the path of a unix socket has at most 103 (macOS; Linux 107), of which /.s.PGSQL.5432 takes 14
LONGEST_SOCKET_DIRECTORY = 89
# libpq reads a comma as a list of hosts, and PostgreSQL strips blanks and quotes
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


# the servers of an instance; `make run` remembers the URLs that it was given
URLS = ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL", "REDIS_URL")


class Refused(Exception):
    """The instance cannot start here; the text is for the operator."""


def make(home: Path) -> None:
    """Create the directory, readable to us alone. Raises ``Refused`` if it cannot be created or belongs to
    somebody else."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"BALADOS_HOME {home} cannot be created: {error.strerror}") from error
    if (owner := home.stat().st_uid) != os.geteuid():
        name = _user(owner)
        raise Refused(
            f"BALADOS_HOME {home} belongs to {name}: run as {name}, or set BALADOS_HOME to another directory"
        )
    if not os.access(home, os.W_OK):
        raise Refused(f"BALADOS_HOME {home} cannot be written to: set BALADOS_HOME to another directory")


def _user(number: int) -> str:
    """Return the name of a system user; in a container, some have none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


@contextlib.contextmanager
def locked(home: Path) -> Iterator[int]:
    """Lock the directory for this run; yields a descriptor that every program and server has to inherit.

    Raises ``Refused`` while another run holds the lock. Processes that a killed run has started end by
    themselves and hold the second lock until then, so it is waited for. Holding both locks proves that
    nothing of this directory runs, whatever process numbers are written in it: a copy of the directory has
    locks of its own.
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
                raise Refused(f"programs of a run that was killed still hold {shared.name}: stop them first")
            time.sleep(0.1)
        yield shared.fileno()


def is_at(home: Path, lock: int) -> bool:
    """Whether ``home`` is still the directory in which ``locked`` took the lock: not after it was moved or
    deleted."""
    try:
        return os.path.samestat((home / "programs.lock").stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def variables(home: Path) -> dict[str, str]:
    """Return what the last run left: its secret key, its address, and the URLs that it was given."""
    file = home / "environment"
    lines = file.read_text().splitlines() if file.is_file() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def remember(home: Path, chosen: dict[str, str]) -> None:
    """Save ``chosen`` for manage.py and for the next run, readable to us alone."""
    new = home / "environment.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
    new.replace(home / "environment")


def sockets(home: Path) -> Path:
    """Return the directory of the embedded servers' sockets: inside ``home``, or, if that path cannot be used
    for a socket, one named after the device and inode of ``home``, which no other directory shares."""
    inside = home / "sockets"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_DIRECTORY and PLAIN_PATH.fullmatch(str(inside)):
        return inside
    found = home.stat()
    # not below TMPDIR, whose path may be too long as well
    return Path("/tmp") / f"balados-{found.st_dev:x}-{found.st_ino:x}"  # noqa: S108


def postgres_url(home: Path, database: str = "balados") -> str:
    """Return the URL of ``database`` on the embedded PostgreSQL of ``home``."""
    return f"postgresql://postgres:@/{database}?host={sockets(home)}"


def redis_url(home: Path) -> str:
    return f"unix://{sockets(home) / 'redis.sock'}"


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
