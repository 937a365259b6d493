"""``make demo`` runs two_devices.py and then real_feed.py, on the server that runs here or on one of its own.

It looks for the server of ``make run`` at PORT, and uses it if two_devices.py can register a listener there:
if it has an administrator already, or with its SETUP_TOKEN. Otherwise it starts a server in a temporary home,
on a free port; only that one may fetch feeds from this machine. With arguments, only two_devices.py is run,
with these.
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
# settings of the running server, which a server that is started here must not inherit
SETTINGS = ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL", "REDIS_URL", "PUBLIC_URL", "SECRET_KEY")
SECONDS_TO_START = 180.0


def main() -> int:
    # exit through Python's own clean-up, so that the server is stopped
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
    """Run both demos. Returns the exit code, which is 0 if both succeeded."""
    failed = two_devices.main([url, *options])
    print("\nAnd a real feed")
    return failed or real_feed.main([url, "--feed-port", str(feed_port)])


def running_server() -> str | None:
    """Return the address of the server of ``make run``, or None if there is none that the demo can use."""
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
    """Run a server whose set-up accepts ``setup_token`` and which may fetch feeds from ``feed_port`` on this
    machine; yields its address."""
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
            start_new_session=True,  # so that Ctrl-C ends the demo, which then stops the server
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
