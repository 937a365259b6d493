"""Requests that are sent twice, to the event loop and to Django, to compare what they leave behind."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from accounts import attempts
from balados import logs
from eventstore import counters
from tests.api.devices import JSON, Device
from tests.direct import Answer, Server

# other each time, or a matter of time
OWN_EACH_TIME = ("timestamp", "ms")


class Left(NamedTuple):
    """What a request leaves behind: the answer, the order of its headers, its log lines, what it added to the
    counters, and how many requests of the app it has used of those that were counted in advance."""

    answer: Answer
    order: list[str]
    lines: list[dict[str, object]]
    counted: dict[tuple[str, ...], float]
    used: int


class BothWays:
    """Sends the requests of a device."""

    def __init__(self, device: Device, server: Server) -> None:
        self._who = "requests", f"{device.user_id} {device.app.iss}"
        self._server = server

    async def send(self, *request: Any, **headers: str) -> tuple[Left, Left]:
        """Send a request to the event loop and then, while it cannot answer, to Django."""
        ours = await self.send_once(False, *request, **headers)
        self._server.close()
        theirs = await self.send_once(True, *request, **headers)
        await self._server.connect()
        return ours, theirs

    async def send_once(self, by_django: bool, *request: Any, **headers: str) -> Left:
        counters._counts.clear()
        before = attempts._counted[self._who][0]
        with _lines() as lines:
            answer = await self._server.by(by_django, *request, **headers)
        counted = {key: n for key, n in counters._counts.items() if not key[0].startswith("seconds")}
        return Left(answer, list(answer[1]), lines, counted, before - attempts._counted[self._who][0])


def run(check: Callable[[Server], Awaitable[None]]) -> None:
    """Run a check with a server whose pipelines are open."""

    async def whole() -> None:
        server = Server()
        await server.connect()
        await server.send("GET", "/api/v1/nothing")  # its host name is remembered from now on
        try:
            await check(server)
        finally:
            server.close()

    asyncio.run(whole())


def sent_by(device: Device, **headers: str) -> dict[str, Any]:
    """Return the headers of a device's request."""
    return {"authorization": device.headers["Authorization"], "content_type": JSON, **headers}


@contextmanager
def _lines() -> Iterator[list[dict[str, object]]]:
    """Collect the lines about requests as they are written."""
    lines: list[dict[str, object]] = []
    formatter, logger = logs.Lines(logs.to_json), logging.getLogger("balados.requests")

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = msgspec.json.decode(formatter.format(record))
            lines.append({name: value for name, value in line.items() if name not in OWN_EACH_TIME})

    handler = Collecting()
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
