"""A server of feeds on loopback that answers as a test tells it to, and records the requests.

    with Origin() as origin:
        origin.on("/feed", answer(b"<rss/>", etag='"1"'))
        origin.on("/moved", redirect("/feed"), status_only(404))   # the redirect once, and 404 from then on
        origin.on("/endless", endless_body())
        ... fetch(origin.url("/feed")) ...
        assert [request.path for request in origin.requests] == ["/feed"]

A handler is a coroutine that is given an ``Exchange``; nothing is sent but what the handler sends. A
connection is kept open after a complete answer that states its length. With ``host="0.0.0.0"`` every
127.x.y.z is a separate host: ``origin.url("/feed", host="127.0.0.7")``.
"""

import asyncio
import gzip
import socket
import ssl
import struct
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from pytest_django.fixtures import Settings

Headers = Sequence[tuple[str, str]]


@dataclass
class Asked:
    """A request as received. Times are ``time.monotonic``; ``ended_at``: when it was answered or cut off."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    connection: int
    at: float
    raw: bytes = field(repr=False, default=b"")
    ended_at: float | None = None
    body: bytes = field(repr=False, default=b"")

    @property
    def host(self) -> str:
        return self.headers.get("host", "").partition(":")[0]


class Exchange:
    """A request that is being answered."""

    def __init__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked = asked
        self.is_kept = False
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_head(self, status: int, headers: Headers = (), *, reason: str = "Whatever") -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        await self.send(f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1"))

    async def hang(self) -> None:
        """Wait until the client disconnects or the server stops."""
        while not self._writer.is_closing():
            await asyncio.sleep(0.02)

    def reset(self) -> None:
        """End the connection in such a way that the client gets a reset."""
        found: socket.socket = self._writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Handler = Callable[[Exchange], Awaitable[None]]


class Origin:
    """A server on a free port of 127.0.0.1, in its own thread, which can be stopped and started again."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = 0
        self.requests: list[Asked] = []
        self.connections = 0
        self.busiest: dict[str, int] = {}  # by host: the most requests that were in progress at one time
        self._busy: dict[str, int] = {}
        self._tls = tls
        self._answers: dict[str, list[Handler]] = {}
        self._default: Handler = status_only(404)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="origin", daemon=True)
        self._server: asyncio.Server | None = None
        # includes writers that were closed but still wait for a client that does not read
        self._open: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, path: str, *, host: str | None = None) -> str:
        scheme = "https" if self._tls else "http"
        name = host or (self.host if self.host != "0.0.0.0" else "127.0.0.1")
        return f"{scheme}://{name}:{self.port}{path}"

    def on(self, path: str, *answers: Handler) -> None:
        """Answer requests for ``path`` (with its query) by these in turn; the last one is repeated."""
        self._answers[path] = list(answers)

    def otherwise(self, answer: Handler) -> None:
        """Answer requests for all other paths by this handler; the default is 404."""
        self._default = answer

    def asked(self, path: str) -> list[Asked]:
        return [request for request in list(self.requests) if request.path == path]

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._call(self._start())

    def stop(self) -> None:
        """Stop listening, and cut off all connections."""
        self._call(self._stop())

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, self.host, self.port, ssl=self._tls, backlog=1_000
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        # A connection that was just accepted becomes a task within a few iterations of the loop. If it were
        # cancelled before its first step, that task would never close its socket.
        for _ in range(5):
            await asyncio.sleep(0)
        ours = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not ours]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)  # the loop closes their sockets in its next iteration

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._open.add(writer)
        try:
            while await self._answer_one(reader, writer, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, path, headers, number, time.monotonic(), raw, body=body)
        self.requests.append(asked)
        self._count(asked.host, 1)
        try:
            exchange = Exchange(asked, writer)
            await self._handler(path)(exchange)
            return exchange.is_kept
        finally:
            asked.ended_at = time.monotonic()
            self._count(asked.host, -1)

    def _count(self, host: str, more: int) -> None:
        self._busy[host] = self._busy.get(host, 0) + more
        self.busiest[host] = max(self.busiest.get(host, 0), self._busy[host])

    def _handler(self, path: str) -> Handler:
        found = self._answers.get(path)
        if found is None:
            return self._default
        return found.pop(0) if len(found) > 1 else found[0]


@contextmanager
def allowed(
    settings: Settings, *origins: Origin, networks: Sequence[str] = ("127.0.0.0/8",)
) -> Iterator[None]:
    """Allow the client to fetch from these origins, and from other hosts in ``networks`` on their ports."""
    settings.FEED_ALLOW_NETWORKS = [ip_network(network) for network in networks]
    settings.FEED_PORTS = [*settings.FEED_PORTS, *(origin.port for origin in origins)]
    yield


def answer(
    body: bytes = b"",
    *,
    status: int = 200,
    headers: Headers = (),
    content_type: str = "application/rss+xml",
    etag: str = "",
    last_modified: str = "",
    packed: bool = False,
    delay: float = 0.0,
) -> Handler:
    """A complete answer with its length, after ``delay`` seconds; 304 if the request has its validators."""
    content = gzip.compress(body, 1) if packed else body
    validators = [("ETag", etag)] * bool(etag) + [("Last-Modified", last_modified)] * bool(last_modified)
    all_headers = [("Content-Type", content_type), *validators, *headers]
    all_headers += [("Content-Encoding", "gzip")] * packed + [("Content-Length", str(len(content)))]

    async def handle(exchange: Exchange) -> None:
        await asyncio.sleep(delay)
        exchange.is_kept = True
        asked = exchange.asked.headers
        known = etag and asked.get("if-none-match") == etag
        known = known or (last_modified and asked.get("if-modified-since") == last_modified)
        if known:
            await exchange.send_head(304, validators)
        else:
            await exchange.send_head(status, all_headers)
            await exchange.send(content)

    return handle


def status_only(status: int, *headers: tuple[str, str], body: bytes = b"no\n") -> Handler:
    return answer(body, status=status, headers=headers, content_type="text/plain")


def redirect(to: str, status: int = 302, *, body: bytes = b"moved\n") -> Handler:
    """A redirect to ``to``, which may be relative."""
    return answer(body, status=status, headers=[("Location", to)], content_type="text/plain")


def raw(*parts: bytes, then: str = "close", pause: float = 0.0) -> Handler:
    """Send these bytes, ``pause`` seconds apart, and ``then`` close, hang, reset or keep the connection."""

    async def handle(exchange: Exchange) -> None:
        for part in parts:
            await exchange.send(part)
            await asyncio.sleep(pause)
        if then == "hang":
            await exchange.hang()
        elif then == "reset":
            exchange.reset()
        exchange.is_kept = then == "keep"

    return handle


def hang() -> Handler:
    """Take the request, and never answer."""
    return raw(then="hang")


def reset() -> Handler:
    return raw(then="reset")


def forever(head: bytes, part: bytes, pause: float = 0.0) -> Handler:
    """Send ``head``, and then ``part`` again and again."""

    async def handle(exchange: Exchange) -> None:
        await exchange.send(head)
        while True:
            await exchange.send(part)
            await asyncio.sleep(pause)

    return handle


def endless_body() -> Handler:
    return forever(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n", b"<!-- endless -->" * 4096)


def endless_headers() -> Handler:
    return forever(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 200 + b"\r\n")


def dribble(pause: float, *, body: bytes = b"<rss/>" * 1_000_000) -> Handler:
    """Send a correct header, and then the body byte by byte, ``pause`` seconds apart."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"

    async def handle(exchange: Exchange) -> None:
        await exchange.send(head.encode())
        for place in range(len(body)):
            await exchange.send(body[place : place + 1])
            await asyncio.sleep(pause)

    return handle


def encoded(coding: str, content: bytes) -> Handler:
    """Send ``content`` unchanged, declared to be encoded as ``coding``."""
    return answer(content, headers=[("Content-Encoding", coding)])


@contextmanager
def cut_off() -> Iterator[int]:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with suppress(OSError):
            yield held.getsockname()[1]


class Hub:
    """A WebSub hub at ``/hub``: it answers 202 to each form, and keeps the form in ``asked``."""

    def __init__(self, origin: Origin, path: str = "/hub") -> None:
        self.asked: list[dict[str, str]] = []
        self.url = origin.url(path)
        origin.on(path, self._take)

    @property
    def callback(self) -> str:
        """The path of the callback URL in the last form."""
        return urlsplit(self.asked[-1]["hub.callback"]).path

    def intent(self, mode: str = "subscribe", **changes: str) -> str:
        """The path and query of the hub's verification request for the last form, altered by ``changes``."""
        asked = {"mode": mode, "topic": self.asked[-1]["hub.topic"], "challenge": "ch4llenge", **changes}
        lease = {"hub.lease_seconds": "864000"}
        return f"{self.callback}?{urlencode(lease | {f'hub.{name}': value for name, value in asked.items()})}"

    async def _take(self, exchange: Exchange) -> None:
        self.asked.append(dict(parse_qsl(exchange.asked.body.decode(), strict_parsing=True)))
        await status_only(202)(exchange)
