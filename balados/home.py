"""$BALADOS_HOME: the directory with an instance's data, secrets and locks (``make run``)."""

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from honcho.environ import parse

# how long the programs of a run that was killed may take to end by themselves
SECONDS_TO_END = 20.0


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
    """Hold the directory for this run; yields a descriptor that every program has to inherit.

    Raises ``Refused`` while another run holds it. A run that was killed leaves its programs, which end by
    themselves and hold the second lock until then: they are waited for.
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
    """What earlier runs chose by themselves."""
    file = home / "environment"
    return dict(parse(file.read_text())) if file.is_file() else {}


def secret_key(home: Path) -> str:
    """The instance's own secret key, made once."""
    return variables(home).get("SECRET_KEY") or secrets.token_urlsafe(50)


def remember(home: Path, chosen: dict[str, str]) -> None:
    """Leave what this run chose for manage.py and for the next run; readable to us alone.

    A secret key stays, also through a run that is given another one.
    """
    kept = {name: value for name, value in variables(home).items() if name == "SECRET_KEY"}
    new = home / "environment.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text("".join(f"{name}={value}\n" for name, value in (kept | chosen).items()))
    new.replace(home / "environment")


def fresh_directory(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    return path


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
