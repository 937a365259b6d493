"""A gateway that runs next to a test, and clients that reach it over real sockets."""

import asyncio
import json
import threading
from concurrent.futures import Future
from functools import cached_property
from types import TracebackType
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.http import HttpResponse
from websockets.asyncio.server import Server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.middleware import ApiGate
from balados.requests import Observed
from live.limits import Limits
from live.requests import Responder
from live.server import Live
from tests.api.devices import Device

WAIT = 10.0  # seconds to wait for what usually arrives within milliseconds


def _port_of(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


class Gateway:
    """A gateway in a thread; ``limits`` override the usual ones, ``now`` is the clock for message limits."""

    def __init__(self, **limits: Any) -> None:
        self.limits = msgspec.structs.replace(Limits(check_every=60.0), **limits)
        self.now = 0.0
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> "Gateway":
        self._thread.start()
        self.port = self._started.result(WAIT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop as at SIGTERM."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(WAIT)
        assert not self._thread.is_alive()

    def check(self) -> None:
        """Do what the gateway does every few seconds."""
        asyncio.run_coroutine_threadsafe(self.live.check(), self._loop).result(WAIT)

    @cached_property
    def _answer(self) -> Responder:
        return Responder(Observed(ApiGate(lambda request: HttpResponse(status=404))))

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self.live = Live(self._answer, self.limits, clock=lambda: self.now, draw=lambda: 0.5)
        await self.live.run(
            "127.0.0.1", 0, self._stopped, lambda server: self._started.set_result(_port_of(server))
        )


class Socket:
    """A client, which sends and receives objects as JSON."""

    ready: dict[str, Any]

    def __init__(self, port: int, path: str = "/api/v1/live", **headers: str) -> None:
        self._opened = connect(
            f"ws://127.0.0.1:{port}{path}",
            additional_headers=headers,
            compression=None,
            open_timeout=WAIT,
            close_timeout=WAIT,
            max_size=None,
        )
        self.socket = self._opened.__enter__()

    def authenticate(self, device: Device, cursor: str | None = None) -> dict[str, Any]:
        token = device.headers["Authorization"].removeprefix("Bearer ")
        self.send({"type": "auth", "token": token, "cursor": cursor})
        answer = self.receive()
        assert answer["type"] == "ready", answer
        return answer

    def send(self, message: object) -> None:
        self.socket.send(json.dumps(message))

    def receive(self, seconds: float = WAIT) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(timeout=seconds))
        return found

    def command(self, kind: str, id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Send a command, and return its answer; earlier pushes are kept for ``changes``."""
        self.send({"type": kind, "id": id or str(uuid4()), **fields})
        while (answer := self.receive())["type"] not in ("ack", "error"):
            self.pushed.append(answer)
        return answer

    @cached_property
    def pushed(self) -> list[dict[str, Any]]:
        return []

    def changes(self) -> dict[str, Any]:
        """Return the next push."""
        return self.pushed.pop(0) if self.pushed else self.receive()

    def closing(self) -> tuple[int, str]:
        """Return the code and reason of the close; earlier messages are kept in ``pushed``."""
        with pytest.raises(ConnectionClosed) as closed:
            self.pushed.extend(iter(self.receive, None))
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def close(self) -> None:
        self._opened.__exit__(None, None, None)
