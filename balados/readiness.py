"""How a process says that it is ready and goes on, to whoever started it."""

import os
from contextlib import suppress
from pathlib import Path


def announce(name: str) -> None:
    """Leave a file called ``name`` in the directory $BALADOS_READY; nothing where that is not set."""
    if directory := os.environ.get("BALADOS_READY"):
        (Path(directory) / name).touch()


def refresh(name: str) -> None:
    """Make the file's time now: a process whose file is old hangs (docker-compose.yml)."""
    with suppress(FileNotFoundError):  # not announced yet
        os.utime(Path(os.environ.get("BALADOS_READY", "")) / name)
