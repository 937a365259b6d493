"""How a process reports to whoever started it that it is ready, and that it is still working."""

import os
from contextlib import suppress
from pathlib import Path


def announce(name: str) -> None:
    """Create a file called ``name`` in the directory $BALADOS_READY; does nothing if that is not set."""
    if directory := os.environ.get("BALADOS_READY"):
        (Path(directory) / name).touch()


def refresh(name: str) -> None:
    """Set the file's time to now: a process whose file is old hangs (docker-compose.yml)."""
    with suppress(FileNotFoundError):  # not announced yet
        os.utime(Path(os.environ.get("BALADOS_READY", "")) / name)
