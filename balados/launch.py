"""``make run``: everything of one instance on one machine, from one command.

It starts PostgreSQL and Redis where no URL names them, prepares the stores, starts the programs of the
Procfile and keeps them all running; SIGTERM, SIGINT and SIGHUP stop them in order. Data and secrets are kept
in $BALADOS_HOME. Everything it reads from the environment is documented in docs/settings.md.

``make servers`` starts PostgreSQL and Redis alone: for a restore, while no program may use the stores.
"""

import math
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from honcho.environ import parse_procfile

from balados import embedded, environment, home
from balados.forks import Loader
from balados.home import Refused
from balados.supervisor import Process, Program, StartFailed, StopRequested, Supervisor

ROOT, PLACE, PUBLIC_URL = environment.BASE_DIR, environment.BALADOS_HOME, environment.PUBLIC_URL
SECRET_KEY = environment.SECRET_KEY or secrets.token_urlsafe(50)
# directory in which each program leaves a file when it is ready (balados/readiness.py)
READY = PLACE / "ready"
# the process that programs are forked from (balados/forks.py)
LOADER = "loader"
# generous for a slow disk: the first start creates a PostgreSQL cluster and every table
SECONDS_TO_START = 120.0


def main(arguments: Sequence[str] = ()) -> int:
    """Run until told to stop; with the argument ``servers``, without programs. Returns the exit code: 0 after
    an orderly stop, 1 if it could not start."""
    try:
        home.make(PLACE)
        with home.locked(PLACE) as lock:
            refuse_other_stores()
            programs = "servers" not in arguments
            if programs:  # only programs need ports: PostgreSQL and Redis listen on sockets in the home
                refuse_taken_port("PORT", environment.PORT)
                if environment.LIVE:
                    refuse_taken_port("LIVE_PORT", environment.LIVE_PORT)
            run(lock, programs=programs)
    except (Refused, StartFailed, OSError, RuntimeError) as reason:
        print(f"balados: {reason}", file=sys.stderr)
        return 1
    return 0


def run(lock: int, *, programs: bool = True) -> None:
    """Start everything, keep it running, and stop it in order. All processes inherit the descriptor ``lock``.
    Raises ``StartFailed``."""
    commands = named_programs() if programs else {}
    with Supervisor(sys.stdout) as supervisor:
        try:
            start_servers(supervisor, lock)
            if programs:
                start_programs(supervisor, commands, lock)
            else:
                remember(address=False)
                supervisor.say("only the servers are running: press Ctrl-C to stop them")
            supervisor.run_until(lambda: not home.is_at(PLACE, lock), math.inf)
            # whatever it starts from now on would use the files of the instance that is at this path next
            raise Refused(f"BALADOS_HOME {PLACE} was moved or deleted: start again where it is now")
        except StopRequested as request:
            supervisor.say(f"{request} received: stopping")
        finally:
            # programs that write events first, the servers that they write to last
            supervisor.stop([*commands, LOADER, "redis", "postgres"])
            embedded.remove_sockets(PLACE)
    supervisor.say("stopped")


def named_programs() -> dict[str, str]:
    """Return the commands of the Procfile, without the live process if it is switched off."""
    commands: dict[str, str] = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
    if not environment.LIVE:
        del commands["live"]
    return commands


def refuse_other_stores() -> None:
    """Raise ``Refused`` if the environment names other servers than the last start used."""
    if environment.STORES_MOVED or not environment.remembered:
        return
    for name in home.URLS:
        if environment.given.get(name) != environment.remembered.get(name):
            raise Refused(
                f"{name} differs from the last start: the data written then would be missing."
                " Unset it to continue with that data, or set STORES_MOVED=true once if you have moved it"
            )


def remember(*, address: bool) -> None:
    """Save the secret key, the URLs and, if programs run, the address, for manage.py and for the next
    start."""
    known = environment.remembered
    chosen = {name: environment.given[name] for name in home.URLS if name in environment.given}
    chosen |= {"SECRET_KEY": known.get("SECRET_KEY", SECRET_KEY)}
    if url := PUBLIC_URL if address else known.get("PUBLIC_URL"):
        chosen["PUBLIC_URL"] = url
    home.remember(PLACE, chosen)


def start_servers(supervisor: Supervisor, lock: int) -> None:
    """Start PostgreSQL and Redis, each only if no URL is given for it."""
    # The process named there has ended, since we hold the lock, or belongs to the directory that this is a
    # copy of.
    (PLACE / "postgres" / "postmaster.pid").unlink(missing_ok=True)
    shutil.rmtree(home.sockets(PLACE), ignore_errors=True)
    if environment.EMBEDDED_POSTGRES:
        small = embedded.SMALL if environment.SMALL else {}
        start_server(supervisor, "postgres", embedded.postgres(PLACE, **small), lock)
    if environment.EMBEDDED_REDIS:
        start_server(supervisor, "redis", embedded.redis_server(PLACE), lock)


def start_server(supervisor: Supervisor, name: str, server: embedded.Server, lock: int) -> None:
    # 60 s, because PostgreSQL writes out the contents of its caches when it shuts down
    program = Program(name, lambda: server.start(lock), stop_signal=server.stop_signal, grace=60.0)
    supervisor.start(program)
    try:
        supervisor.run_until(server.answers, SECONDS_TO_START)
    except StartFailed as failure:
        raise StartFailed(f"{failure}; its log is {server.log}") from failure


def start_programs(supervisor: Supervisor, commands: Mapping[str, str], lock: int) -> None:
    """Prepare the stores, start the programs of the Procfile, wait until they are ready, and print what to do
    next."""
    shutil.rmtree(READY, ignore_errors=True)
    READY.mkdir(mode=0o700)
    spawner = forking(supervisor, lock) if sys.platform == "linux" else partial(starting, lock=lock)
    links: list[str] = []

    def is_link(line: bytes) -> bool:
        """Withhold the set-up link from the output of ``prepare``, the first program: it is printed last."""
        found = line.decode().strip()
        links.extend([found] if found.startswith(PUBLIC_URL) else [])
        return found in links

    prepare = Program("prepare", spawner("python manage.py db_init -v 0"), keeps=is_link)
    supervisor.run_once(prepare, SECONDS_TO_START)
    remember(address=True)  # only now is it certain that the stores at these URLs are ours
    for name, command in commands.items():
        supervisor.start(Program(name, spawner(command)))
    supervisor.run_until(lambda: all((READY / name).exists() for name in commands), SECONDS_TO_START)
    for line in next_steps(PUBLIC_URL, links):
        supervisor.say(line)


def forking(supervisor: Supervisor, lock: int) -> Callable[[str], Callable[[], Process]]:
    """Return a function that makes starters of Procfile commands, as forks of one process that has loaded
    what they need."""
    loader = Loader()
    supervisor.start(Program(LOADER, lambda: loader.start(partial(popen, lock=lock))))
    return lambda command: lambda: loader.fork(shlex.split(command))


def starting(command: str, lock: int) -> Callable[[], Process]:
    """Return a starter of a Procfile command as a process of its own. Without a shell in between, signals
    reach it."""
    return lambda: popen(shlex.split(command), lock=lock)


def popen(command: Sequence[str], *inherited: int, lock: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603
        command,
        cwd=ROOT,
        env={
            **os.environ,
            "BALADOS_HOME": str(PLACE),
            "SECRET_KEY": SECRET_KEY,
            "PORT": str(environment.PORT),
            "LIVE_PORT": str(environment.LIVE_PORT),
            "LIVE_URL": environment.LIVE_URL,
            "PUBLIC_URL": PUBLIC_URL,
            "BALADOS_READY": str(READY),
            "EMAIL_URL": environment.given.get("EMAIL_URL", "console:"),
            # the virtual environment need not be active
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            # otherwise glibc reserves memory for each thread and returns little of it
            "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[lock, *inherited],
        start_new_session=True,
        preexec_fn=embedded.end_with_parent(signal.SIGTERM),
    )


def refuse_taken_port(name: str, port: int) -> None:
    """Raise ``Refused`` if another program listens on the port. ``name`` is the setting that changes the
    port."""
    host = environment.LISTEN_HOST
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another with {name}=..."
            ) from error


def next_steps(url: str, links: list[str]) -> list[str]:
    """Return the lines to print once everything is ready. ``links`` holds the set-up link while there is no
    administrator."""
    return [
        f"ready at {url}",
        *(f"make yourself its administrator: {link}" for link in links),
        f"connect an app: {url}/api/docs/ and docs/apps.md explain how, `make demo` shows it",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
