"""The processor time of an instance's processes, a figure that other work on the machine hardly affects."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import redis

from benchmarks import environment

TICKS = os.sysconf("SC_CLK_TCK")
Seconds = dict[str, float]


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def seconds(pid: int) -> float:
    """Return the user and system time that a process and all its descendants have used, including those that
    have ended."""
    return sum(ticks(one) for one in tree(pid)) / TICKS


def servers() -> dict[str, int]:
    """Return the process ids of PostgreSQL's and Redis's main processes."""
    with environment.connect() as connection:
        ((backend,),) = connection.execute("SELECT pg_backend_pid()")
        postmaster = int(_stat(int(str(backend)))[1])
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        return {"PostgreSQL": postmaster, "Redis": int(client.info("server")["process_id"])}


def used(processes: Mapping[str, int]) -> Seconds:
    return {name: seconds(pid) for name, pid in processes.items()}


def ticks(pid: int) -> int:
    """Return the ticks that a process and its ended children have used so far."""
    return sum(int(ticks) for ticks in _stat(pid)[11:15])


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5) from the third on; zeros if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 15
