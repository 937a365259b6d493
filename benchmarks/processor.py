"""What the processes of an instance use of the processor: a figure that other work hardly touches."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import redis

from benchmarks import environment

TICKS = os.sysconf("SC_CLK_TCK")
Seconds = dict[str, float]


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def seconds(pid: int) -> float:
    """What a process and all below it have used so far, user and system, those that have ended included."""
    return sum(ticks(one) for one in tree(pid)) / TICKS


def servers() -> dict[str, int]:
    """The main processes of PostgreSQL and Redis."""
    with environment.connect() as connection:
        ((backend,),) = connection.execute("SELECT pg_backend_pid()")
        postmaster = int(_stat(int(str(backend)))[1])
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        return {"PostgreSQL": postmaster, "Redis": int(client.info("server")["process_id"])}


def used(processes: Mapping[str, int]) -> Seconds:
    return {name: seconds(pid) for name, pid in processes.items()}


def ticks(pid: int) -> int:
    """What a process has used so far, and its children that have ended."""
    return sum(int(ticks) for ticks in _stat(pid)[11:15])


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) from the third on; zeros where the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 15
