"""``make run``: everything of one instance on one machine, from one command.

Starts PostgreSQL and Redis where no URL names them, prepares the stores, starts the programs of the Procfile
and keeps them all running; SIGTERM, SIGINT and SIGHUP stop them in order. Data and secrets live in
$BALADOS_HOME. Everything it reads from the environment is in docs/settings.md.

``make servers`` starts PostgreSQL and Redis alone: for a restore, while no program may use the stores.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honcho.environ import parse_procfile

from balados import embedded, home
from balados.home import Refused
from balados.supervisor import Program, StartFailed, StopRequested, Supervisor

ROOT = Path(__file__).resolve().parent.parent
# generous for a slow disk: the first start makes a PostgreSQL cluster and every table
SECONDS_TO_START = 120.0


@dataclass(frozen=True)
class Instance:
    home: Path
    host: str
    port: int
    public_url: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Instance":
        """Read from the environment. Raises ``Refused``."""
        port = environment.get("PORT") or "8000"
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise Refused(f"PORT must be a number from 1 to 65535, not {port!r}")
        return cls(
            home=Path(environment.get("BALADOS_HOME") or ROOT / ".balados").absolute(),
            host=environment.get("LISTEN_HOST") or "127.0.0.1",
            port=int(port),
            public_url=(environment.get("PUBLIC_URL") or f"http://localhost:{port}").rstrip("/"),
        )

    @property
    def ready(self) -> Path:
        """The directory where each program leaves a file when it is ready (balados/health.py)."""
        return self.home / "ready"


def main(arguments: Sequence[str] = ()) -> int:
    """Run until told to stop; with ``servers`` as argument without programs. Returns the exit code: 0 after
    an orderly stop, 1 when it could not start.
    """
    try:
        instance = Instance.of(os.environ)
        home.make(instance.home)
        with home.locked(instance.home) as lock:
            programs = "servers" not in arguments
            if programs:  # PostgreSQL and Redis listen on sockets in the home
                refuse_taken_port(instance)
            run(instance, lock, programs=programs)
    except (Refused, StartFailed) as reason:
        print(f"balados: {reason}", file=sys.stderr)
        return 1
    return 0


def run(instance: Instance, lock: int, *, programs: bool = True) -> None:
    """Start everything, keep it running, stop it in order. Every program inherits the descriptor ``lock``.
    Raises ``StartFailed``."""
    names = parse_procfile((ROOT / "Procfile").read_text()).processes if programs else {}
    with Supervisor(sys.stdout) as supervisor:
        try:
            environment = start_servers(supervisor, instance)
            if programs:
                start_programs(supervisor, instance, names, environment, lock)
            else:
                supervisor.say("the servers are up, and nothing else: Ctrl-C stops them")
            supervisor.run()
        except StopRequested as request:
            supervisor.say(f"{request} received: stopping")
        finally:
            # what writes events first, the servers that it writes to last
            supervisor.stop([*names, "redis", "postgres"])
            embedded.remove_socket_directories(instance.home)
    supervisor.say("stopped")


def start_servers(supervisor: Supervisor, instance: Instance) -> dict[str, str]:
    """Start PostgreSQL and Redis where no URL is given. Returns the environment of the programs."""
    chosen = {}
    if not os.environ.get("DATABASE_URL"):
        embedded.stop_postgres(instance.home)  # one that outlived its run
        start_server(supervisor, "postgres", embedded.postgres(instance.home))
        chosen["DATABASE_URL"] = embedded.postgres_url(instance.home)
    if not os.environ.get("REDIS_URL"):
        embedded.stop_redis(instance.home)
        start_server(supervisor, "redis", embedded.redis_server(instance.home))
        chosen["REDIS_URL"] = embedded.redis_url(instance.home)
    if not os.environ.get("SECRET_KEY"):
        chosen["SECRET_KEY"] = home.secret_key(instance.home)
    chosen |= {"PORT": str(instance.port), "PUBLIC_URL": instance.public_url}
    home.remember(instance.home, chosen)
    return {
        **os.environ,
        **chosen,
        "BALADOS_HOME": str(instance.home),
        "BALADOS_READY": str(home.fresh_directory(instance.ready)),
        "LISTEN_HOST": instance.host,
        # the virtual environment need not be active
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
    }


def start_server(supervisor: Supervisor, name: str, server: embedded.Server) -> None:
    # 60 s: a shutdown of PostgreSQL writes out what its caches hold
    supervisor.start(Program(name, server.start, stop_signal=server.stop_signal, grace=60.0))
    try:
        supervisor.run_until(server.answers, SECONDS_TO_START)
    except StartFailed as failure:
        raise StartFailed(f"{failure}; its log is {server.log}") from failure


def start_programs(
    supervisor: Supervisor,
    instance: Instance,
    commands: Mapping[str, str],
    environment: dict[str, str],
    lock: int,
) -> None:
    """Prepare the stores, start what the Procfile names, wait until it is ready, and say what to do next."""
    prepare = Program("prepare", spawner("python manage.py db_init -v 0", environment, lock))
    supervisor.run_once(prepare, SECONDS_TO_START)
    for name, command in commands.items():
        supervisor.start(Program(name, spawner(command, environment, lock)))
    printed, _ = spawner("python manage.py setup_link", environment, lock)().communicate()
    supervisor.run_until(lambda: all((instance.ready / name).exists() for name in commands), SECONDS_TO_START)
    for line in next_steps(instance.public_url, printed.decode()):
        supervisor.say(line)


def spawner(command: str, environment: dict[str, str], lock: int) -> Callable[[], "subprocess.Popen[bytes]"]:
    """How to start one command of the Procfile. Without a shell between, a signal reaches the program."""

    def spawn() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603
            shlex.split(command),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,
            preexec_fn=embedded.end_with_parent(signal.SIGTERM),
        )

    return spawn


def refuse_taken_port(instance: Instance) -> None:
    family = socket.AF_INET6 if ":" in instance.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((instance.host, instance.port))
        except OSError as error:
            where = f"{instance.host}:{instance.port}"
            raise Refused(
                f"cannot listen on {where} ({error.strerror}); choose another with PORT=..."
            ) from error


def next_steps(url: str, printed: str) -> list[str]:
    """What to do once everything is ready; ``printed`` holds the administrator's link while there is none."""
    links = [line for line in printed.splitlines() if line.startswith(url)]
    return [
        f"ready at {url}",
        *(f"make yourself its administrator: {link}" for link in links),
        f"connect an app: {url}/api/docs/ and docs/apps.md say how, `make demo` shows it",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
