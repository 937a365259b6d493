"""A full disk: PostgreSQL still answers, but takes no writes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from balados import embedded
from balados.home import postgres_url
from operations import stores

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MiB."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(tmp_path))
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(("umount", "--lazy", str(tmp_path)), check=True)


def fill(disk: Path) -> Path:
    """Fill the disk to the last byte, and return the file that does so."""
    rest = disk / "rest"
    found = os.statvfs(disk)
    rest.write_bytes(bytes(found.f_bavail * found.f_frsize))
    return rest


def test_a_full_disk_is_seen_and_that_it_has_room_again(small_disk: Path) -> None:
    home = small_disk / "home"
    home.mkdir()
    server = embedded.postgres(home).start_and_wait()
    try:
        with psycopg.connect(postgres_url(home, "postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE plays (text text)")
            assert stores.has_room(connection)
            rest = fill(small_disk)
            with pytest.raises(psycopg.errors.DiskFull):
                connection.execute("INSERT INTO plays SELECT repeat('x', 1000) FROM generate_series(1, 100)")
            assert not stores.has_room(connection)
            rest.unlink()
            assert stores.has_room(connection)
            connection.execute("INSERT INTO plays VALUES ('x')")
    finally:
        server.kill()
        server.wait()
        embedded.remove_sockets(home)
