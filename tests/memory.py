"""Where the tests' servers keep their data."""

import shutil
from pathlib import Path

# In memory a commit waits for no disk, and PostgreSQL still calls fsync: db_init refuses servers that do not.
MEMORY, ROOM = Path("/dev/shm"), 8 * 2**30


def fast_directory() -> Path | None:
    """For ``dir`` of ``tempfile``: memory where there is enough of it, None for the usual directory."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM else None
