"""The layer between the HTTP server and Django: it awaits a request's body without a thread, then has a
thread answer.

Django's views block, and a thread that reads from a phone in a tunnel can serve nobody else, so a few slow
bodies would stop the instance. Here bodies are awaited in the event loop, under a deadline. Responses are
handed over whole, so that a slow reader does not occupy a thread either.
"""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from io import BytesIO
from time import monotonic, perf_counter
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries

from accounts.gates import DirectAnswer, Shortcut
from balados import environment, logs, readiness, requests
from balados.postgresql.base import give_back
from balados.wsgi import application as django
from eventstore import counters

# One blocking thread holds at most one connection per store; 2 workers x 8 threads x 3 stores stay well below
# PostgreSQL's default of 100 connections.
THREADS = 4 if environment.SMALL else 8
# A body has PATIENCE seconds to arrive, and one more second for every BYTES_PER_SECOND bytes received so far.
# 16 MiB over a 128 kbit/s line are accepted; a byte now and then is not.
PATIENCE, BYTES_PER_SECOND, LOOK_EVERY = 15.0, 16_384, 1.0
# The largest bodies that any view accepts, in bytes. The views have their own limits and report them.
LARGEST, LARGEST_IMPORT = 16 * 1024 * 1024, 128 * 1024 * 1024
IMPORTS = ("/api/v1/import", "/settings/data")
# Bodies that hubs push are read, because hubs count the push as failed otherwise, and then discarded.
LARGEST_PUSH, PUSHES = 24 * 1024 * 1024, "/websub/"
# Bytes of incomplete bodies that one process may hold in memory. A small body is accepted even beyond that.
MOST_HELD, SMALL = 384 * 1024 * 1024, 64 * 1024
# Bytes of an address, and of all headers of a request: a token has at most 8 KB.
LONGEST_ADDRESS, LARGEST_HEADERS, MOST_HEADERS = 32 * 1024, 32 * 1024, 100
WITHOUT_CONTENT = (204, 304)
# requests that may wait for a thread before further ones are refused
MOST_WAITING = 512

Environment = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Answer(NamedTuple):
    status: int
    headers: Sequence[tuple[str, str]]
    content: bytes


class Refused(Exception):
    """A request that is answered here, without Django."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class Buffered:
    """An ASGI application that runs a WSGI application in threads, for the requests that no shortcut
    answers."""

    def __init__(self, wsgi: Callable[..., Iterable[bytes]], shortcuts: Iterable[Shortcut] = ()) -> None:
        self._wsgi = wsgi
        self._threads = ThreadPoolExecutor(THREADS, "answer")
        self._shortcuts = shortcuts
        self._held = self._waiting = 0
        # deadline of the body that each task is reading, on the monotonic clock
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        environment = to_environment(scope)
        began = perf_counter()
        try:
            _check_headers(scope["headers"])
            body, whole = await self._read(environment, receive)
            direct = await self._directly(environment, body) if whole else None
            if direct is not None:
                answer = _noted(direct, environment, began)
            else:
                environment["wsgi.input"] = body
                answer = await self._in_thread(environment)
        except Refused as reason:
            whole = False
            answer = refusal(reason, environment["PATH_INFO"])
            requests.note(
                environment["REQUEST_METHOD"], requests.UNKNOWN, answer.status, perf_counter() - began
            )
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
        ]
        if not whole:  # the rest of the body would be read as the next request
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    async def _directly(self, environment: Environment, body: BytesIO) -> DirectAnswer | None:
        """Answer the request without a thread, where one of the shortcuts can."""
        for shortcut in self._shortcuts:
            if (direct := await shortcut.answer(environment, body)) is not None:
                return direct
        return None

    async def _read(self, environment: Environment, receive: Receive) -> tuple[BytesIO, bool]:
        """Return the body, and whether it is complete. The body of a request that is, or is declared, too
        large is cut short: the view does not need the rest to refuse it. Raises ``Refused``."""
        length = environment.get("CONTENT_LENGTH", "")
        if "HTTP_TRANSFER_ENCODING" not in environment and length in ("", "0"):
            return BytesIO(), True
        largest, is_kept = _limits(environment["PATH_INFO"])
        if length.isdigit() and int(length) > largest:
            return BytesIO(), False
        reading = asyncio.current_task()
        assert reading is not None
        began, body, size, more = monotonic(), BytesIO(), 0, True
        try:
            while more and size <= largest:
                self._deadlines[reading] = began + PATIENCE + size / BYTES_PER_SECOND
                self._watch_deadlines()
                message = await receive()
                # the client has disconnected, or its chunked encoding is invalid
                if message["type"] != "http.request":
                    raise Refused(400, "bad_request", "The request cannot be read.")
                part, more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                if not is_kept:
                    continue
                body.write(part)
                self._held += len(part)
                if self._held > MOST_HELD and size > SMALL:
                    raise Refused(503, "busy", "Too many large requests at once. Try again later.")
        except asyncio.CancelledError:
            if reading in self._deadlines:
                raise  # cancelled by another task, not for being late
            reading.uncancel()
            raise Refused(408, "timeout", "The body did not come in time.") from None
        finally:
            self._deadlines.pop(reading, None)
            self._held -= size if is_kept else 0
        body.seek(0)
        return body, not more

    def _watch_deadlines(self) -> None:
        """Start the one task that watches all deadlines. A timer for each body (``asyncio.timeout``) would
        cost 60 µs per request."""
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.get_running_loop().create_task(self._cancel_late())

    async def _cancel_late(self) -> None:
        while self._deadlines:
            await asyncio.sleep(LOOK_EVERY)
            now = monotonic()
            for reading, deadline in list(self._deadlines.items()):
                if deadline < now:
                    del self._deadlines[reading]
                    reading.cancel()

    async def _in_thread(self, environment: Environment) -> Answer:
        """Answer the request in a thread. Raises ``Refused`` when too many requests are already waiting."""
        if self._waiting >= MOST_WAITING:
            raise Refused(503, "busy", "Too many requests at once. Try again later.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, answer, self._wsgi, environment)
        finally:
            self._waiting -= 1


def _check_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    if len(headers) > MOST_HEADERS:
        raise headers_too_large()
    if sum(len(name) + len(value) for name, value in headers) > LARGEST_HEADERS:
        raise headers_too_large()


def headers_too_large() -> Refused:
    detail = f"A request has at most {MOST_HEADERS} headers, which have at most {LARGEST_HEADERS:,} bytes."
    return Refused(431, "headers_too_large", detail)


def _limits(path: str) -> tuple[int, bool]:
    """Return the largest body that ``path`` accepts, in bytes, and whether the view needs the body."""
    if path.startswith(PUSHES):
        return LARGEST_PUSH, False
    return (LARGEST_IMPORT if path in IMPORTS else LARGEST), True


def answer(wsgi: Callable[..., Iterable[bytes]], environment: Environment) -> Answer:
    """Run a WSGI application and return its whole response."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        started[:] = [int(status[:3]), headers]

    response = wsgi(environment, start_response)
    try:
        content = b"".join(response)
    finally:
        if hasattr(response, "close"):
            response.close()
    status, sent = started
    if status not in WITHOUT_CONTENT and not any(name.lower() == "content-length" for name, _ in sent):
        sent.append(("Content-Length", str(len(content))))
    return Answer(status, sent, content)


def to_environment(scope: dict[str, Any]) -> Environment:
    """Return the WSGI environment of a request, without its body."""
    host, port = scope["server"] or ("localhost", 80)
    environment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        # the raw path: in the decoded one, the server has replaced bytes that are not UTF-8
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue  # It would be taken for the header with a hyphen, which a trusted proxy may have set.
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        name = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        separator = "; " if name == "HTTP_COOKIE" else ","
        environment[name] = f"{environment[name]}{separator}{value}" if name in environment else value
    environment.setdefault("HTTP_HOST", "")  # no host is a wrong one; Django would take SERVER_NAME instead
    return environment


def _noted(direct: DirectAnswer, environment: Environment, began: float) -> Answer:
    """Return the response of a shortcut, and do what ``requests.Observed`` does for others."""
    request_id, method = requests.id_of(environment), environment["REQUEST_METHOD"]
    about = {"request": request_id, **(logs.of_caller(*direct.by) if direct.by else {})}
    requests.note(method, direct.route, direct.status, perf_counter() - began, about)
    return Answer(direct.status, [*direct.headers, (requests.HEADER, request_id)], direct.content)


def refusal(reason: Refused, path: str) -> Answer:
    """Return the response for a refused request: for API paths, in the format of the API's errors
    (api/errors.py)."""
    headers = [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
    content = f"{reason.detail}\n".encode()
    if path.startswith("/api/"):
        kind = "server_error" if reason.status >= 500 else "client_error"
        errors = [{"code": reason.code, "detail": reason.detail, "attr": None}]
        headers[0] = ("Content-Type", "application/json")
        content = msgspec.json.encode({"type": kind, "errors": errors})
    if reason.status == 503:
        headers.append(("Retry-After", "5"))
    headers.append(("Content-Length", str(len(content))))
    return Answer(reason.status, headers, content)


def start() -> Buffered:
    """Return the application that a web process runs, and announce that the process is ready."""
    # The event loop needs the interpreter lock several times per request. While threads are busy, it waits up
    # to one switch interval for it: the default of 5 ms costs a fifth of the requests per second.
    sys.setswitchinterval(0.0005)
    _end_requests_quickly()
    import_module(settings.ROOT_URLCONF)  # now, so that the first requests do not wait for it
    gc.freeze()  # the garbage collector need not scan what has been loaded, since it stays
    # By default it scans what a body of 10,000 plays is made of again and again: up to 5 % of the time.
    gc.set_threshold(20_000, 20, 100)
    counters.publish_in_background()
    readiness.announce("web")
    from balados.shortcuts import Shortcuts  # not before Django is set up

    return Buffered(django, Shortcuts())


def _end_requests_quickly() -> None:
    """Disconnect what Django does around each request and is of no use here. A request leaves no connection
    open, so the next has none to close; the cache is Redis, which is never closed; queries are recorded only
    for debugging; and the URL configuration is set again at the start of each request."""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_finished.disconnect(close_caches)
    request_finished.disconnect(reset_urlconf)
    request_finished.connect(give_back)
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)
