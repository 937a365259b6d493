"""The directory of the tests' servers."""

import shutil
from pathlib import Path

# In memory, a commit does not wait for a disk. PostgreSQL still calls fsync: db_init refuses servers that do
# not.
MEMORY, ROOM = Path("/dev/shm"), 8 * 2**30


def fast_directory() -> Path | None:
    """Return the ``dir`` for ``tempfile``: one in memory if there is enough room, None for the default
    directory."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM else None
