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
SCRIPT = Path(__file__).parent / "wrk.lua"
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
    assert PROGRAM is not None
    with tempfile.NamedTemporaryFile("w") as tokens:
        tokens.write("\n".join(listener.token for listener in who))
        tokens.flush()
        before = server.cpu_seconds()
        # no time-out: a slow answer belongs into the percentiles
        arguments = ["--threads", "1", "--connections", str(CONNECTIONS), "--timeout", "60s"]
        arguments += ["--duration", f"{max(1, round(seconds))}s"]
        script = ("--script", str(SCRIPT), server.url + path, "--", method, tokens.name)
        done = subprocess.run(
            (PROGRAM, *arguments, *script, str(next(_first_item))), capture_output=True, text=True
        )
        used = server.cpu_seconds() - before
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    requests, duration, p50, p99, refused = (float(value) for value in line.split()[1:])
    if refused:
        raise RuntimeError(f"{refused:.0f} of {requests:.0f} requests were refused: {done.stdout}")
    return Run(int(requests), requests / duration * 1e6, p50 / 1000, p99 / 1000, used / requests * 1000)
