"""wrk, the load generator (Debian's package of that name), and what it reports."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.instance import Listener, Web

PROGRAM = shutil.which("wrk")
MISSING = "wrk is not installed (`apt-get install wrk`): requests were not measured."
CONNECTIONS = 8
SCRIPT, PATHS = (Path(__file__).parent / name for name in ("wrk.lua", "paths.lua"))
# so many items are apart that no two runs send the same one
_first_item = count(0, 1_000_000)


@dataclass(frozen=True)
class Run:
    """``p50`` and ``p99`` in milliseconds; ``cpu`` in milliseconds of the web processes per request."""

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float


def run(server: Web, method: str, path: str, who: Sequence[Listener], seconds: float) -> Run:
    """Load the server from 8 connections. Raises ``RuntimeError`` when any request was refused."""
    with tempfile.NamedTemporaryFile("w") as tokens:
        tokens.write("\n".join(listener.token for listener in who))
        tokens.flush()
        arguments = (method, tokens.name, str(next(_first_item)))
        return _run(server, SCRIPT, path, arguments, seconds)


def get(
    server: Web,
    paths: Sequence[str],
    seconds: float,
    asked_range: str = "",
    connections: int = CONNECTIONS,
) -> Run:
    """GET these addresses, one after the other and again, with that Range. Raises as ``run``."""
    with tempfile.NamedTemporaryFile("w") as listed:
        listed.write("\n".join(paths))
        listed.flush()
        return _run(server, PATHS, "/", (listed.name, asked_range), seconds, connections)


def _run(
    server: Web,
    script: Path,
    path: str,
    arguments: Sequence[str],
    seconds: float,
    connections: int = CONNECTIONS,
) -> Run:
    assert PROGRAM is not None
    before = server.cpu_seconds()
    # no time-out: a slow answer belongs into the percentiles
    options = ["--threads", "1", "--connections", str(connections), "--timeout", "60s"]
    options += ["--duration", f"{max(1, round(seconds))}s", "--script", str(script)]
    done = subprocess.run(
        (PROGRAM, *options, server.url + path, "--", *arguments), capture_output=True, text=True
    )
    used = server.cpu_seconds() - before
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    requests, duration, p50, p99, refused = (float(value) for value in line.split()[1:])
    if refused:
        raise RuntimeError(f"{refused:.0f} of {requests:.0f} requests were refused: {done.stdout}")
    return Run(int(requests), requests / duration * 1e6, p50 / 1000, p99 / 1000, used / requests * 1000)
