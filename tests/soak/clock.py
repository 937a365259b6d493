"""The clock of a soak: the wall clock of all processes of an instance, which the soak can move."""

import mmap
import shutil
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

SOURCE = Path(__file__).parent / "clock.c"
COMPILER = shutil.which("cc") if sys.platform == "linux" else None
MISSING = "time cannot pass: that needs Linux and a C compiler (Debian: apt-get install gcc)"


class Clock:
    """The real time, which nobody moves."""

    environment: dict[str, str] = {}

    def now(self) -> datetime:
        return datetime.now(UTC)

    def forward(self, by: timedelta) -> None:
        raise RuntimeError(MISSING)


class MovingClock(Clock):
    """A clock that can be moved; programs started with ``environment`` follow it at once.

    ``directory`` must be accessible to every user that runs them.
    """

    def __init__(self, directory: Path) -> None:
        if COMPILER is None:
            raise RuntimeError(MISSING)
        library, file = directory / "clock.so", directory / "clock"
        options = ("-O2", "-shared", "-fPIC", "-Wall", "-Werror")
        subprocess.run([COMPILER, *options, "-o", str(library), str(SOURCE), "-ldl"], check=True)
        file.write_bytes(struct.pack("q", 0))
        for path in (library, file):
            path.chmod(0o644 if path is file else 0o755)
        with open(file, "r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)
        self._moved = timedelta()
        self.environment = {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(file)}

    def now(self) -> datetime:
        return datetime.now(UTC) + self._moved

    def forward(self, by: timedelta) -> None:
        assert by >= timedelta(), "no program expects a clock that goes back by days"
        self._moved += by
        self._shared[:] = struct.pack("q", self._moved // timedelta(microseconds=1) * 1000)
