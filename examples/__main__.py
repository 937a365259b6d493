"""``make demo``: two_devices.py and then real_feed.py, on the server that runs here, or on one of its own.

The server of ``make run`` is looked for at PORT, and used where two_devices.py can register a listener: once
it has an administrator, or with its SETUP_TOKEN. Otherwise a server starts in a temporary home, on a free
port; that one may fetch feeds from this machine. With arguments it is two_devices.py itself.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from examples import real_feed, two_devices

ROOT = Path(__file__).resolve().parent.parent
# of the server that runs; the one that is started has its own
SETTINGS = ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL", "REDIS_URL", "PUBLIC_URL", "SECRET_KEY")
SECONDS_TO_START = 180.0


def main() -> int:
    # so that the server is stopped
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if len(sys.argv) > 1:
        return two_devices.main()
    if url := running_server():
        return both(url)
    token = secrets.token_urlsafe(16)
    print("Starting a server for the demo (it is removed afterwards)", flush=True)
    feed_port = free_port()
    with own_server(token, feed_port) as url:
        return both(url, "--setup-token", token, feed_port=feed_port)


def both(url: str, *options: str, feed_port: int = 0) -> int:
    """The one demo and the other; the exit code, which is 0 where both went well."""
    failed = two_devices.main([url, *options])
    print("\nAnd a real feed")
    return failed or real_feed.main([url, "--feed-port", str(feed_port)])


def running_server() -> str | None:
    """The address of the server of ``make run``; None where there is none that the demo can use."""
    url = os.environ.get("PUBLIC_URL") or f"http://localhost:{os.environ.get('PORT') or 8000}"
    try:
        if requests.get(f"{url}/health/live", timeout=5).text != "live\n":
            return None
    except requests.RequestException:
        return None
    if two_devices.Browser(url).needs_setup() and not os.environ.get("SETUP_TOKEN"):
        print(f"The server at {url} has no administrator yet, so nobody can register there.")
        return None
    return url


@contextmanager
def own_server(setup_token: str, feed_port: int) -> Iterator[str]:
    """A server with the token for its first administrator, which may fetch from a port of this machine; gives
    its address."""
    home, port = Path(tempfile.mkdtemp(prefix="balados-demo-")), free_port()
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"BALADOS_HOME": str(home), "PORT": str(port), "SETUP_TOKEN": setup_token}
    environment["LIVE_PORT"] = str(free_port())
    environment |= {"FEED_ALLOW_NETWORKS": "127.0.0.0/8", "FEED_PORTS": str(feed_port)}
    with (home / "output.log").open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "balados.launch"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C ends the demo first, which then stops the server
        )
    try:
        wait_until_ready(server, home / "output.log")
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(home, ignore_errors=True)


def wait_until_ready(server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while "ready at" not in log.read_text():
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"The server did not start:\n{log.read_text()}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
