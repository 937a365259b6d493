"""The resources of a whole instance as ``make run`` starts it: memory, processor, seconds to start, disk.

They are measured at rest, and under the load of listeners with a live connection each, who play, call the API
and open pages, while a worker fetches their feeds for the first time; both in each profile.

``python -m benchmarks.footprint COUNT`` creates listeners on the instance of $BALADOS_HOME, and prints them.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.metadata import distribution
from itertools import cycle, islice
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from websockets.asyncio.client import ClientConnection

from balados.home import postgres_url
from benchmarks import instance, live, origin, processor, sample
from benchmarks.instance import ROOT, Listener, Web
from benchmarks.report import Goal, Section, number
from benchmarks.scale import Scale
from eventstore.domain.identifiers import feed_of_url

MIB: Final = 2**20
# programs by a part of their command line; the first match counts
PROGRAMS: Final = {
    "postgres": "PostgreSQL",
    "redis-server": "Redis",
    "balados.launch": "launcher",
    "balados.preloaded": "loader",
    "balados.serve": "web",
    "balados.live": "live",
    "run_projectors": "projector",
    "balados.worker": "worker",
    "db_init": "db_init",
}
IDLE_MIB: Final = {"small": 300.0, "normal": 450.0}
BUSY_MIB: Final = {"small": 600.0, "normal": 900.0}
IDLE_PERCENT, LARGEST_WEB = 0.5, 150.0
SENDERS: Final = 8
PATHS: Final = ("/api/v1/subscriptions", "/", "/subscriptions", "/history", "/search?q=show", "/statistics")
# environment variables of the benchmarks' own servers, and those that machines which build images set
DISTURBING: Final = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "PYTHONDONTWRITEBYTECODE")
LARGEST_PACKAGES: Final = 6


@dataclass(frozen=True)
class Look:
    """The processes at one moment, by program: how many there are, and their share of the memory in MiB."""

    processes: Counter[str]
    held: dict[str, float]
    # the largest single web process
    largest_web: float

    @property
    def all(self) -> float:
        return sum(self.held.values())


@dataclass
class Figures:
    first_start: float
    start: float
    idle: Look
    percent: dict[str, float]
    busy: Look
    fetched: int = 0
    answered: int = 0


def run(scale: Scale) -> Section:
    columns = ["", *(f"{profile}, {what}" for profile in IDLE_MIB for what in ("idle MiB", "%", "busy MiB"))]
    section = Section("Small machines", columns)
    found = {profile: measure(profile, scale) for profile in IDLE_MIB}
    for name in PROGRAMS.values():
        if name != "db_init":
            section.rows.append([name, *(cell for each in found.values() for cell in _cells(each, name))])
    for profile, figures in found.items():
        section.goals += _goals(profile, figures)
        section.notes.append(
            f"{profile}: ready in {figures.start:.1f} s, the first time in {figures.first_start:.1f} s;"
            f" processes {sum(figures.idle.processes.values())}; under load"
            f" {figures.answered:,} requests answered and {figures.fetched:,} feeds fetched."
        )
    section.rows.append(["**all**", *(cell for each in found.values() for cell in _sums(each))])
    section.notes.append(
        f"MiB: proportional set size, of the load the largest sum seen. %: of one core, over"
        f" {scale.footprint_seconds:g} s. Load: {scale.footprint_listeners} listeners with"
        f" {scale.footprint_feeds:,} feeds of 100 episodes, all fetched for the first time, a live connection"
        f" for each listener, and {SENDERS} senders of requests without a pause."
    )
    section.notes.append(disk())
    return section


def measure(profile: str, scale: Scale) -> Figures:
    home = Path(tempfile.mkdtemp(prefix="balados-footprint-"))
    try:
        with origin.served() as feeds:
            settings = {
                "PROFILE": profile,
                "FEED_PORTS": str(feeds),
                "FEED_ALLOW_NETWORKS": "127.0.0.0/8",
                "API_REQUESTS_PER_MINUTE": "0",
            }
            with running(home, settings) as (_, _, first_start):
                pass
            with running(home, settings) as (server, live_port, start):
                time.sleep(scale.footprint_seconds / 2)
                idle, percent = at_rest(server.process.pid, scale.footprint_seconds)
                figures = Figures(first_start, start, idle, percent, idle)
                under_load(server, live_port, Load(home, feeds, scale), figures)
                return figures
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running(home: Path, settings: dict[str, str]) -> Iterator[tuple[Web, int, float]]:
    """Run an instance; yields it, the port of its live process, and the seconds until it reported that it was
    ready."""
    port, live_port = instance.free_port(), instance.free_port()
    own = {"PORT": str(port), "LIVE_PORT": str(live_port)}
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "balados.launch"],
        cwd=ROOT,
        env=environment_of(home, **own, **settings),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, b"")
            ready = next((line for line in lines if b"ready at" in line), b"")
            if not ready:
                raise RuntimeError("the instance does not start")
            took = time.monotonic() - began
            threading.Thread(target=lambda: [*lines], daemon=True).start()
            yield Web(process, port), live_port, took
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(90)


def environment_of(home: Path, **settings: str) -> dict[str, str]:
    """Return the environment of an operator who has made only these settings."""
    kept = {name: value for name, value in os.environ.items() if name not in DISTURBING}
    return {**kept, "BALADOS_HOME": str(home), "LOG_LEVEL": "WARNING", **settings}


def look(pid: int) -> Look:
    """Return the present state of a process and all those below it."""
    processes, held, largest = Counter[str](), defaultdict[str, float](float), 0.0
    for each in processor.tree(pid):
        name, mib = program_of(each), pss(each)
        processes[name] += 1
        held[name] += mib
        largest = max(largest, mib if name == "web" else 0.0)
    return Look(processes, held, largest)


def program_of(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has just ended
        return ""
    return next((name for part, name in PROGRAMS.items() if part in command), "")


def pss(pid: int) -> float:
    """Return the proportional set size in MiB: the process's own memory, and its share of what it shares with
    others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def at_rest(pid: int, seconds: float) -> tuple[Look, dict[str, float]]:
    """Return the memory after so many seconds, and the percentage of a core used meanwhile, by program."""

    def used() -> Counter[str]:
        spent = Counter[str]()
        for each in processor.tree(pid):
            spent[program_of(each)] += processor.ticks(each)
        return spent

    before = used()
    time.sleep(seconds)
    after = used()
    return look(pid), {name: 100 * (after[name] - before[name]) / processor.TICKS / seconds for name in after}


@dataclass(frozen=True)
class Load:
    home: Path
    # the port of the server that serves the feeds
    feeds: int
    scale: Scale

    def followed_by(self, place: int) -> list[str]:
        share = self.scale.footprint_feeds // self.scale.footprint_listeners
        numbers = range(place * share, (place + 1) * share)
        return [feed_of_url(f"http://127.0.1.{1 + each % 250}:{self.feeds}/same/{each}") for each in numbers]


def under_load(server: Web, live_port: int, load: Load, figures: Figures) -> None:
    """Set ``busy`` to the largest sum seen while all kinds of load run at once."""
    who, ended, answered = made_on(load), threading.Event(), Counter[int]()

    def work(place: int) -> None:
        for _ in requests_of(server, load, dict(islice(who.items(), place, None, SENDERS)), place):
            answered[place] += 1
            if ended.is_set():
                return

    def hear() -> None:
        asyncio.run(listen(Web(server.process, live_port), list(who), ended))

    with ThreadPoolExecutor(SENDERS + 1) as pool:
        working = [pool.submit(hear), *(pool.submit(work, place) for place in range(SENDERS))]
        until = time.monotonic() + load.scale.footprint_load_seconds
        while time.monotonic() < until and not any(each.done() for each in working):
            time.sleep(min(1.0, load.scale.footprint_load_seconds / 4))
            figures.busy = max(figures.busy, look(server.process.pid), key=lambda each: each.all)
        ended.set()
    for each in working:
        each.result()
    figures.answered, figures.fetched = answered.total(), fetched(load.home)


def made_on(load: Load) -> dict[Listener, str]:
    """Return new listeners, each with the cookie of a browser."""
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.footprint", str(load.scale.footprint_listeners)],
        cwd=ROOT,
        env=environment_of(load.home, DJANGO_SETTINGS_MODULE="balados.settings"),
        stdout=subprocess.PIPE,
        check=True,
    )
    rows = json.loads(made.stdout.splitlines()[-1])
    return {Listener(UUID(row[0]), *row[1:3]): row[3] for row in rows}


def requests_of(server: Web, load: Load, who: dict[Listener, str], place: int) -> Iterator[None]:
    """Each of these listeners follows his feeds; then they play and open pages in turn. Yields after each
    response."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    for row, each in enumerate(who):
        for feed in load.followed_by(row * SENDERS + place):
            ask(connection, "POST", "/api/v1/subscriptions", each.token, {"rss_source_feed": feed})
            yield
    for turn, (each, cookie) in enumerate(cycle(who.items())):
        play = {
            "rss_source_feed": sample.FEED,
            "rss_source_item": sample.item(turn),
            "position": 60,
            "played": False,
        }
        ask(connection, "POST", "/api/v1/plays", each.token, play)
        yield
        path = PATHS[turn % len(PATHS)]
        ask(connection, "GET", path, each.token, cookie=cookie)
        yield


def ask(
    connection: HTTPConnection, method: str, path: str, token: str, body: object = None, cookie: str = ""
) -> None:
    """Send a request. Raises ``RuntimeError`` if it fails."""
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if path.startswith("/api/") else {"Cookie": cookie}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")


async def listen(server: Web, who: Sequence[Listener], ended: threading.Event) -> None:
    """Keep a live connection open for each listener until ``ended``."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(live.joined(server, each.second_token)) for each in who]
        hearing = [asyncio.create_task(_hear(each)) for each in opened]
        while not ended.is_set():
            await asyncio.sleep(0.1)
        for each in hearing:
            each.cancel()


async def _hear(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


def fetched(home: Path) -> int:
    with psycopg.connect(postgres_url(home)) as connection:
        row = connection.execute("SELECT count(DISTINCT feed_id) FROM system.episodes").fetchone()
    return int(row[0]) if row else 0


def disk() -> str:
    """Return a description of what is installed to run an instance, without the bytecode that Python
    writes."""
    sizes = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if not line.startswith("#"):
            name = line.partition("==")[0]
            files = [Path(str(each.locate())) for each in distribution(name).files or ()]
            sizes[name] = sum(each.stat().st_size for each in files if each.is_file()) / MIB
    largest = sorted(sizes, key=lambda name: -sizes[name])[:LARGEST_PACKAGES]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    ours = [ROOT / os.fsdecode(name) for name in tracked.stdout.split(b"\0") if name]
    code = sum(each.stat().st_size for each in ours if each.is_file()) / MIB
    named = ", ".join(f"{name} {sizes[name]:.0f}" for name in largest)
    return (
        f"Disk: {sum(sizes.values()):.0f} MiB of packages (requirements.lock), of which {named};"
        f" {code:.0f} MiB of our own, tests included."
    )


def _cells(figures: Figures, name: str) -> list[str]:
    looks = figures.idle.held[name], figures.percent.get(name, 0.0), figures.busy.held[name]
    return [number(each) for each in looks]


def _sums(figures: Figures) -> list[str]:
    return [number(each) for each in (figures.idle.all, sum(figures.percent.values()), figures.busy.all)]


def _goals(profile: str, figures: Figures) -> list[Goal]:
    idle, busy = figures.idle.all, figures.busy.all
    percent, web = sum(figures.percent.values()), figures.busy.largest_web
    wanted = [
        Goal(f"{profile}, idle", idle, IDLE_MIB[profile], at_most=True, unit=" MiB"),
        Goal(f"{profile}, under load", busy, BUSY_MIB[profile], at_most=True, unit=" MiB"),
        Goal(f"{profile}, largest web process", web, LARGEST_WEB, at_most=True, unit=" MiB"),
    ]
    if profile == "small":
        wanted.append(Goal("small, idle", percent, IDLE_PERCENT, at_most=True, unit=" % of a core"))
    return wanted


def make(wanted: int) -> None:
    """Print new listeners with their tokens and cookies, as JSON."""
    import django

    django.setup()
    from benchmarks import pages

    who = instance.listeners(wanted)
    rows = [[str(each.user_id), each.token, each.second_token, pages.log_in(each.user_id)] for each in who]
    print(json.dumps(rows))


if __name__ == "__main__":
    make(int(sys.argv[1]))
