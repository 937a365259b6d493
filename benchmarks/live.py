"""Live connections: the delay until a change is pushed, the cost of each connection, and the time to push
10,000 missed events."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from benchmarks import environment, instance, processor, sample
from benchmarks.instance import Listener, Web
from benchmarks.report import Goal, Section, middle, number, quantile
from benchmarks.scale import Scale
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.plays import PlayEntry
from eventstore.domain.sync import SyncUserData

WITHIN_MS = 200.0
# seconds between two commands of one device
EVERY = 2.0
ROOT = Path(__file__).parent.parent


def run(scale: Scale) -> Section:
    section = Section("Live connections", ["", "measured"])
    environment.empty()
    who = instance.listeners(scale.live_busy // 2)
    environment.let_go()
    load = os.getloadavg()[0]
    with live() as server:
        section.rows.append(["MiB of the process, before the first connection", number(pss(server))])
        delays, acks, cpu = asyncio.run(busy(server, who, scale.delay_seconds))
        section.rows += [
            ["connections that send and are told", number(2 * len(who))],
            ["commands a second", number(len(delays) / scale.delay_seconds)],
            ["ms from a command of one device to the other, median", number(middle(delays))],
            ["the same, p99", number(quantile(delays, 0.99))],
            ["ms to its acknowledgement, median", number(middle(acks))],
            ["the same, p99", number(quantile(acks, 0.99))],
            ["ms of processor for a command and its push", number(1000 * cpu / max(1, len(delays)))],
        ]
        before, after = asyncio.run(idle(server, who, scale.live_idle))
        section.rows += [
            ["idle connections", number(scale.live_idle)],
            ["KiB of the process for each", number(1024 * (after - before) / scale.live_idle)],
        ]
        missed = miss(who[0], scale.upload)
        seconds, pages = asyncio.run(resume(server, who[0]))
        section.rows += [
            ["missed events", number(missed)],
            ["seconds until all are told", number(seconds)],
            ["in so many messages", number(pages)],
        ]
    section.goals = [Goal("ms to the other device, p99", quantile(delays, 0.99), WITHIN_MS, at_most=True)]
    section.notes.append(
        f"Half of the connections are phones and half tablets of the same listeners; each tablet sends a play"
        f" every {EVERY:g} s on its connection. Their clients, the process, PostgreSQL and Redis share the"
        f" machine; load at the start {load:.1f}."
    )
    return section


@contextmanager
def live() -> Iterator[Web]:
    """Run the live process as in the Procfile."""
    port = instance.free_port()
    own = {
        "LIVE": "on",
        "LIVE_PORT": str(port),
        "LIVE_CONNECTIONS": "5000",
        "LIVE_CONNECTIONS_PER_USER": "5000",
    }
    own |= {"API_REQUESTS_PER_MINUTE": "100000000", "LOG_LEVEL": "WARNING"}
    command = (sys.executable, "-m", "balados.live")
    with subprocess.Popen(command, env={**os.environ, **own}, cwd=ROOT) as process:
        try:
            until = time.monotonic() + instance.PATIENCE
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the live process does not start")
                time.sleep(0.05)
            yield Web(process, port)
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def pss(server: Web) -> float:
    """Return the proportional set size in MiB: the process's own memory, and its share of what it shares with
    others."""
    for line in Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@asynccontextmanager
async def joined(server: Web, token: str, cursor: str | None = None) -> AsyncIterator[ClientConnection]:
    address = f"ws://127.0.0.1:{server.port}/api/v1/live"
    async with connect(address, compression=None, max_size=None, ping_interval=None) as opened:
        await opened.send(json.dumps({"type": "auth", "token": token, "cursor": cursor}))
        ready = json.loads(await opened.recv())
        assert ready["type"] == "ready", ready
        yield opened


async def busy(server: Web, who: list[Listener], seconds: float) -> tuple[list[float], list[float], float]:
    """Return the milliseconds from each command to its push and to its acknowledgement, and the seconds of
    processor time."""
    sent: dict[str, float] = {}
    delays: list[float] = []
    acks: list[float] = []
    async with AsyncExitStack() as stack:
        phones = [await stack.enter_async_context(joined(server, each.token)) for each in who]
        tablets = [await stack.enter_async_context(joined(server, each.second_token)) for each in who]
        # the API's views are loaded at the first command
        await asyncio.gather(*(warm(tablet) for tablet in tablets[:4]))
        used = processor.seconds(server.process.pid)
        hearing = [asyncio.create_task(hear(phone, sent, delays)) for phone in phones]
        until = time.perf_counter() + seconds
        await asyncio.gather(
            *(send(tablet, n, len(who), until, sent, acks) for n, tablet in enumerate(tablets))
        )
        patience = time.perf_counter() + instance.PATIENCE
        while len(delays) < len(sent) and time.perf_counter() < patience:
            await asyncio.sleep(0.01)
        assert len(delays) == len(sent), "a change was not told"
        for task in hearing:
            task.cancel()
        used = processor.seconds(server.process.pid) - used
    return delays, acks, used


async def send(
    tablet: ClientConnection, place: int, of: int, until: float, sent: dict[str, float], acks: list[float]
) -> None:
    """Send a play every two seconds, evenly spread over the devices."""
    await asyncio.sleep(EVERY * place / of)
    count = 0
    while time.perf_counter() < until:
        count += 1
        item = sample.item(1_000 * place + count)
        body = {"rss_source_feed": sample.FEED, "rss_source_item": item, "position": 60, "played": False}
        began = sent[item] = time.perf_counter()
        await tablet.send(json.dumps({"type": "record_play", "id": str(uuid4()), **body}))
        answer = json.loads(await tablet.recv())
        assert answer["type"] == "ack", answer
        acks.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(max(0.0, began + EVERY - time.perf_counter()))


async def warm(tablet: ClientConnection) -> None:
    await tablet.send(json.dumps({"type": "subscribe", "id": str(uuid4()), "rss_source_feed": sample.FEED}))
    await tablet.recv()


async def hear(phone: ClientConnection, sent: dict[str, float], delays: list[float]) -> None:
    while True:
        received = items(json.loads(await phone.recv()))
        now = time.perf_counter()
        delays += [1000 * (now - sent[item]) for item in received]


def items(push: dict[str, Any]) -> list[str]:
    return [entry["rss_source_item"] for entry in push["data"].get("play_statuses", ())]


async def idle(server: Web, who: list[Listener], count: int) -> tuple[float, float]:
    """Return the MiB of the process before and with so many idle connections."""
    before = pss(server)
    async with AsyncExitStack() as stack:
        for place in range(count):
            await stack.enter_async_context(joined(server, who[place % len(who)].token))
        return before, pss(server)


def miss(listener: Listener, count: int) -> int:
    """Sync plays from another device while this one is away; returns the number of events."""
    now = datetime.now(UTC)
    plays = [PlayEntry(sample.FEED, sample.item(10**6 + n), 60, False, now) for n in range(count)]
    origin = Origin(app_id=instance.APP, device_id="laptop-1", device_name="Laptop")
    outcome = dispatch(SyncUserData(user_id=listener.user_id, now=now, play_statuses=plays), origin)
    environment.let_go()
    return len(outcome.events)


async def resume(server: Web, listener: Listener) -> tuple[float, int]:
    """Connect with a cursor from the beginning; returns the seconds and messages until everything has been
    pushed."""
    from api.v1.sync import cursor_of
    from eventstore import changes

    newest = await asyncio.to_thread(lambda: changes.extent(listener.user_id, 0).head)
    start, end = await asyncio.to_thread(lambda: [cursor_of(at, listener.user_id) for at in (0, newest)])
    began, messages = time.perf_counter(), 0
    async with joined(server, listener.token, start) as opened:
        while json.loads(await opened.recv())["cursor"] != end:
            messages += 1
    return time.perf_counter() - began, messages + 1
