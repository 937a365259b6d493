"""wrk, the load generator (Debian's package of that name), and what it reports."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import processor
from benchmarks.instance import Listener, Web
from benchmarks.report import number

PROGRAM = shutil.which("wrk")
MISSING = "wrk is not installed (`apt-get install wrk`): requests were not measured."
CONNECTIONS = 8
SCRIPT = Path(__file__).parent / "load.lua"
JSON = "application/json"
# load.lua explains the placeholders, such as <item>; the feed is https://example.org/rss
PLAY = (
    '{"rss_source_feed":"aHR0cHM6Ly9leGFtcGxlLm9yZy9yc3M=","rss_source_item":"<item>",'
    '"position":<position>,"played":false}'
)
# runs start so many items apart that no two send the same one
_first_item = count(0, 1_000_000)


@dataclass(frozen=True)
class Run:
    """``p50`` and ``p99`` in milliseconds; ``cpu`` in milliseconds of the server's processes per request."""

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float


COLUMNS = ("requests/s", "p50 ms", "p99 ms", "server CPU ms/request")


def figures(runs: Sequence[Run]) -> list[str]:
    """Return the median of each figure, in the order of ``COLUMNS``."""
    each = zip(*((run.per_second, run.p50, run.p99, run.cpu) for run in runs), strict=True)
    return [number(median(values)) for values in each]


class Target(NamedTuple):
    """The address and headers with which one client sends its requests."""

    path: str
    headers: Mapping[str, str] = {}

    def line(self) -> str:
        return "\t".join([self.path, *(f"{name}: {value}" for name, value in self.headers.items())])


def run(server: Web, method: str, path: str, who: Sequence[Listener], seconds: float) -> Run:
    """Load the server with 8 connections. Raises ``RuntimeError`` if any request was refused."""
    body = PLAY if method == "POST" else ""
    return load(server.url, [server.process.pid], targets(path, who), seconds, body)


def targets(path: str, who: Sequence[Listener]) -> list[Target]:
    """Return the same path as a target for each listener."""
    return [
        Target(path, {"Authorization": f"Bearer {listener.token}", "Content-Type": JSON}) for listener in who
    ]


def get(
    server: Web,
    paths: Sequence[str],
    seconds: float,
    asked_range: str = "",
    connections: int = CONNECTIONS,
) -> Run:
    """GET these addresses in turn, again and again, with that Range header. Raises the same errors as
    ``run``."""
    headers = {"Range": asked_range} if asked_range else {}
    each = [Target(path, headers) for path in paths]
    return load(server.url, [server.process.pid], each, seconds, connections=connections)


def load(
    url: str,
    pids: Sequence[int],
    clients: Sequence[Target],
    seconds: float,
    body: str = "",
    *,
    connections: int = CONNECTIONS,
    closes: bool = False,
) -> Run:
    """Send the requests of these clients in turns: POST if there is a ``body``, GET otherwise.

    ``pids`` are the server's main processes, whose processor time is measured. ``closes`` says that the
    server closes each connection after its answer, which wrk counts as a read error. Raises ``RuntimeError``
    if a request was refused or lost.
    """
    with tempfile.NamedTemporaryFile("w") as listed:
        listed.write("\n".join(client.line() for client in clients))
        listed.flush()
        arguments = ("POST" if body else "GET", listed.name, body, str(next(_first_item)))
        before = sum(map(processor.seconds, pids))
        figures = _figures(url, arguments, seconds, connections)
        used = sum(map(processor.seconds, pids)) - before
    requests, duration, p50, p99, refused, lost, unread = figures
    if refused or lost or (unread and not closes):
        raise RuntimeError(f"of {requests:.0f} requests {refused:.0f} were refused, {lost + unread:.0f} lost")
    return Run(int(requests), requests / duration * 1e6, p50 / 1000, p99 / 1000, used / requests * 1000)


def _figures(url: str, arguments: Sequence[str], seconds: float, connections: int) -> list[float]:
    assert PROGRAM is not None
    # long enough never to be reached: slow responses must be part of the percentiles
    options = ["--threads", "1", "--connections", str(connections), "--timeout", "60s"]
    options += ["--duration", f"{max(1, round(seconds))}s", "--script", str(SCRIPT)]
    done = subprocess.run((PROGRAM, *options, url, "--", *arguments), capture_output=True, text=True)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    return [float(value) for value in line.split()[1:]]
