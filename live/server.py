"""The process that holds the connections: it opens, checks and closes them."""

import asyncio
import logging
import random
import socket as sockets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import close_old_connections
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from accounts.addresses import client_address
from api.clock import now
from eventstore import counters
from live import clients
from live.channels import Channels
from live.clients import request_of
from live.closing import NOT_AUTHENTICATED, RESTART, REVOKED
from live.commands import Environment, Respond
from live.connection import Connection, base_environment
from live.limits import LONGEST_HANDSHAKE, Census, Limits
from live.messages import Restart, write
from projections.failures import is_outage

logger = logging.getLogger(__name__)

PATHS: Final = ("/api/v1/live", "/sync/api/v1/live")
ALIVE: Final = "/health/live"
# Each thread holds at most one connection to each store.
THREADS: Final = 4
# Seconds after which a client reconnects when this process restarts: a range, so that not all come at once.
SOONEST, LATEST = 1.0, 10.0
# size of the kernel's send buffer for a connection, in bytes
SEND_BUFFER: Final = 128 * 1024


class Live:
    """All connections of one process. ``draw``: returns numbers from 0 to 1; ``clock``: returns seconds."""

    def __init__(
        self,
        respond: Respond,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.respond, self.limits, self.clock, self._draw = respond, limits, clock, draw
        self.census = Census(limits)
        self._pool = ThreadPoolExecutor(THREADS, "live")
        self.channels = Channels(limits, self.in_thread)
        self._connections: set[Connection] = set()
        public = urlsplit(settings.PUBLIC_URL)
        self._host, self._scheme = public.netloc, public.scheme

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _give_back, function, arguments)

    async def run(
        self, host: str, port: int, stopped: asyncio.Event, ready: Callable[[Server], None]
    ) -> None:
        """Serve until ``stopped`` is set; then tell all clients to reconnect."""
        self.channels.following.start()
        async with self._serve(host, port) as server:
            ready(server)
            watching = asyncio.create_task(self._watch())
            await stopped.wait()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            server.close(close_connections=False)
            await asyncio.gather(*map(self._restart, list(self._connections)), return_exceptions=True)
        await asyncio.to_thread(self.channels.following.stop)
        self._pool.shutdown(wait=True)

    def _serve(self, host: str, port: int) -> Any:
        # the library's own log would contain what is sent, and a traceback for every nonsensical request
        quiet = logging.getLogger("live.sockets")
        quiet.setLevel(logging.CRITICAL)
        return serve(
            self._handle,
            host,
            port,
            process_request=self._admit,
            compression=None,  # would take 50 KiB per connection, and most messages are small
            open_timeout=LONGEST_HANDSHAKE,
            ping_interval=self.limits.ping_every,
            ping_timeout=self.limits.ping_every,
            close_timeout=self.limits.close_within,
            max_size=self.limits.largest_message,
            max_queue=4,
            write_limit=16 * 1024,
            server_header=None,
            logger=quiet,
            backlog=512,
        )

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Return the response to a request that does not become a connection, or None to open one."""
        path = request.path.partition("?")[0]
        if path == ALIVE:
            return socket.respond(HTTPStatus.OK, "live\n")
        if path not in PATHS:
            return socket.respond(HTTPStatus.NOT_FOUND, "Not found.\n")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            response = socket.respond(HTTPStatus.OK, f'{{"url":"{settings.LIVE_URL}{PATHS[0]}"}}')
            response.headers["Content-Type"] = "application/json"
            return response
        if self.census.is_full():
            return _later(socket, HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections.\n")
        if not self.census.admits_address(self._address(socket, request)):
            return _later(socket, HTTPStatus.TOO_MANY_REQUESTS, "Too many connections at once.\n")
        return None

    async def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        environment = self._environment(socket, socket.request)
        address = client_address(request_of(environment))
        connection = Connection(self, socket, environment)
        # otherwise the kernel buffers 4 MiB for a client that does not read
        socket.transport.get_extra_info("socket").setsockopt(
            sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER
        )
        self.census.enter(address)
        self._connections.add(connection)
        counters.count("live_opened")
        anonymous: list[object] = [address]
        try:
            await connection.run(partial(self._known, anonymous))
        except Exception:
            logger.exception("A connection has failed")
            await socket.close(1011, "internal_error")
        finally:
            self._known(anonymous)
            self.census.leave()
            self._connections.discard(connection)

    def _known(self, anonymous: list[object]) -> None:
        """Stop counting the address among those that have not authenticated."""
        while anonymous:
            self.census.forget_address(anonymous.pop())

    async def _watch(self) -> None:
        """Every few seconds, close the connections that may not go on, and report how many there are."""
        while True:
            await asyncio.sleep(self.limits.check_every)
            counters.gauge("live_connections", self.census.connections)
            try:
                await self.check()
            except Exception as failure:
                if not is_outage(failure):
                    logger.exception("Connections cannot be checked")

    async def check(self) -> None:
        """Look up which connections may go on, and what each may do."""
        known = {one: one.client for one in self._connections if one.client is not None}
        if not known:
            return
        distinct = set(known.values())
        ended, current = await self.in_thread(_look_up, distinct)
        for connection, client in known.items():
            if connection.client is not client:
                continue  # it has authenticated again in the meantime
            if reason := ended.get(client):
                code = NOT_AUTHENTICATED if reason == "token_expired" else REVOKED
                asyncio.create_task(connection.close(code, reason))  # noqa: RUF006  it ends by itself
            elif current[client] != client:
                connection.client = current[client]

    async def _restart(self, connection: Connection) -> None:
        wait = round(SOONEST + self._draw() * (LATEST - SOONEST), 1)
        with suppress(Exception):
            async with asyncio.timeout(self.limits.close_within):
                await connection.tell(write(Restart(wait)))
        await connection.close(RESTART, f"retry_after={wait}")

    def _environment(self, socket: ServerConnection, request: Request) -> Environment:
        found = socket.remote_address
        address = str(found[0]) if isinstance(found, tuple) else ""
        return base_environment(address, request.headers, self._host, self._scheme)

    def _address(self, socket: ServerConnection, request: Request) -> str | None:
        return client_address(request_of(self._environment(socket, request)))


def _give_back(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call ``function``, and give the connections to the stores back to their pools afterwards."""
    try:
        return function(*arguments)
    finally:
        close_old_connections()


def _look_up(found: set[clients.Client]) -> tuple[dict[clients.Client, str], Any]:
    return clients.reasons(found, now()), clients.current(found)


def _later(socket: ServerConnection, status: HTTPStatus, text: str) -> Response:
    response = socket.respond(status, text)
    response.headers["Retry-After"] = "5"
    return response
