"""A running instance to send requests to: listeners with their tokens, the web process, the projector."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks import processor

APP = "org.example.player"
ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
GREETINGS = 16


@dataclass(frozen=True)
class Listener:
    """A listener; ``second_token`` is that of another device."""

    user_id: UUID
    token: str
    second_token: str


@dataclass(frozen=True)
class Web:
    """A running web server with all its processes."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return what its processes have used so far, user and system time."""
        return processor.seconds(self.process.pid)

    def peak_mib(self) -> float:
        """Return the largest resident size that any of its processes has had."""
        return max(_peak_kib(pid) for pid in processor.tree(self.process.pid)) / 1024


def listeners(count: int) -> list[Listener]:
    """Create users who have authorized one app with every scope; their tokens are valid for an hour."""
    from accounts.keys import fingerprint
    from accounts.models import AppGrant, User

    key = generate_private_key(public_exponent=65_537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        user = User.objects.create_user(f"listener-{time.monotonic_ns()}-{number}", "")
        AppGrant.objects.create(
            user=user,
            app_id=APP,
            name="Player",
            public_key=public,
            fingerprint=fingerprint(public),
            scopes=["*"],
            created_at=now,
            updated_at=now,
        )
        claims = {"iss": APP, "sub": str(user.pk), "iat": now, "exp": now + timedelta(minutes=59)}
        device = {"device_id": "phone-000001", "device_name": "Alice's phone"}
        other = {"device_id": "tablet-00001", "device_name": "Alice's tablet"}
        tokens = [jwt.encode(claims | each, key, algorithm="RS256") for each in (device, other)]
        made.append(Listener(user.pk, *tokens))
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def web(command: Sequence[str] | None = None, **environ: str) -> Iterator[Web]:
    """Run the web process as in the Procfile, or another server; PORT is set, and replaces {port} in
    ``command``.

    The limit of requests is too high to be reached, but requests are still counted against it. The log is
    written to a temporary file.
    """
    port = free_port()
    chosen = command or (sys.executable, "-m", "balados.serve")
    settings = {"PORT": str(port), "API_REQUESTS_PER_MINUTE": "100000000", **environ}
    own = [part.replace("{port}", str(port)) for part in chosen]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(own, env={**os.environ, **settings}, cwd=ROOT, stderr=log) as process,
    ):
        try:
            server = Web(process, port)
            try:
                _wait_for(server)
            except RuntimeError as error:
                log.seek(0)
                error.add_note(log.read().decode(errors="replace"))
                raise
            yield server
        finally:
            process.terminate()


@contextmanager
def projector() -> Iterator[int]:
    """Run ``manage.py run_projectors`` and wait until it is ready; yields its process id."""
    command = (sys.executable, str(ROOT / "manage.py"), "run_projectors")
    with (
        tempfile.TemporaryDirectory() as ready,
        subprocess.Popen(command, env={**os.environ, "BALADOS_READY": ready}) as process,
    ):
        try:
            while process.poll() is None and not (Path(ready) / "projector").exists():
                time.sleep(0.02)
            yield process.pid
        finally:
            process.terminate()


def _wait_for(server: Web) -> None:
    """Wait until ``GREETINGS`` connections have been answered, with any status: by then every worker has
    started."""
    until = time.monotonic() + PATIENCE
    answered = 0
    while answered < GREETINGS:
        if time.monotonic() > until or server.process.poll() is not None:
            raise RuntimeError(f"no web server on port {server.port}")
        try:
            urllib.request.urlopen(f"{server.url}/api/v1/me", timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            answered += 1
        except OSError:
            time.sleep(0.05)
        else:
            answered += 1


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
