"""The API behind its real web server, tested byte by byte with requests that a test client never sends."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse

from tests.api.devices import Device, count_events, faults_in, item, play, unharmed
from tests.e2e.instances import free_port

ROOT = Path(__file__).resolve().parents[2]
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"


class Wire:
    """Sends each request over a new connection to the server."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def send(
        self, line: str, *headers: str, body: bytes = b"", more: Callable[[socket.socket], None] | None = None
    ) -> tuple[int, bytes]:
        """Send a request, and return the answer's status and body. The server may answer before it has read
        everything."""
        with self.connect() as connection:
            try:
                connection.sendall(head(line, *headers) + body)
                if more is not None:
                    more(connection)
            except OSError:
                pass  # the server has answered and closed the connection
            received = b""
            while chunk := _received(connection):
                received += chunk
        status, _, rest = received.partition(b"\r\n")
        return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2]


def head(line: str, *headers: str) -> bytes:
    lines = (f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """Run the web process on the stores of the test run."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    server = subprocess.Popen([sys.executable, "-m", "balados.serve"], cwd=ROOT, env=environment)
    wire = Wire(port)
    try:
        deadline = time.monotonic() + 60
        while server.poll() is None:
            try:
                if wire.send("GET /health/live")[0] == 200:
                    break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield wire
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def bearer(phone: Device) -> str:
    return f"Authorization: {phone.headers['Authorization']}"


@pytest.fixture
def good() -> bytes:
    return json.dumps(play()).encode()


def test_it_records_a_play(wire: Wire, bearer: str, good: bytes) -> None:
    status, _ = wire.send("POST /api/v1/plays", bearer, JSON, f"Content-Length: {len(good)}", body=good)
    assert status == 200
    assert count_events() == 1


def test_two_authorizations_are_401(wire: Wire, phone: Device, bearer: str) -> None:
    with unharmed(phone):
        for other in (bearer, "Authorization: Bearer x", "Authorization: Basic x"):
            assert wire.send("GET /api/v1/me", bearer, other)[0] == 401
            assert wire.send("GET /api/v1/me", other, bearer)[0] == 401


def test_a_body_may_come_in_chunks(wire: Wire, bearer: str, good: bytes) -> None:
    body = b"".join(chunk(good[at : at + 7]) for at in range(0, len(good), 7)) + b"0\r\n\r\n"
    assert wire.send("POST /api/v1/plays", bearer, JSON, CHUNKED, body=body)[0] == 200
    assert count_events() == 1


def test_chunks_without_end_are_refused(wire: Wire, phone: Device, bearer: str) -> None:
    """100 MB are refused as soon as 16 MiB of them have arrived."""

    def flood(connection: socket.socket) -> None:
        for _ in range(1_600):
            connection.sendall(chunk(b" " * 65_536))

    with unharmed(phone):
        status, body = wire.send("POST /api/v1/sync", bearer, JSON, CHUNKED, more=flood)
        assert status == 413
        assert faults_in(body) == {None: "too_large"}


def test_a_body_that_says_that_it_is_too_large_is_not_read(wire: Wire, phone: Device, bearer: str) -> None:
    with unharmed(phone):
        status, body = wire.send("POST /api/v1/sync", bearer, JSON, "Content-Length: 104857600")
        assert status == 413
        assert faults_in(body) == {None: "too_large"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Content-Length: 5", "Content-Length: 6"), b"12345"),
        (("Content-Length: -1",), b""),
        (("Content-Length: x",), b""),
        (("Content-Length: " + "9" * 40,), b""),
        ((CHUNKED,), b"x\r\n"),
        ((CHUNKED,), b"fffffffffffffffff\r\n"),
    ],
)
def test_lengths_that_are_none_are_refused(
    wire: Wire, phone: Device, bearer: str, headers: tuple[str, ...], body: bytes
) -> None:
    with unharmed(phone):
        assert wire.send("POST /api/v1/plays", bearer, JSON, *headers, body=body)[0] in (400, 413)


@pytest.mark.parametrize(
    ("line", "headers", "expected"),
    [
        ("GET /api/v1/me?" + "a" * 20_000, (), 414),
        ("GET /api/v1/me?" + "a" * 100_000, (), 414),
        ("GET /api/v1/" + "a" * 20_000, (), 414),
        ("GET /api/v1/me", tuple(f"X-{number}: 1" for number in range(200)), 431),
        ("GET /api/v1/me", ("X: " + "a" * 1_000_000,), 431),
        ("GET /api/v1/%00", (), 404),
        ("GET /api/v1/\x00", (), 400),
        ("GET /api/v1/me\xff", (), 400),
        ("DELETE /api/v1/subscriptions/%zz%ff%C0", (), 400),
        ("GET /api/v1/../v1/me", (), 404),
        ("GET /api//v1/me", (), 404),
        ("TRACE /api/v1/me", (), 405),
        ("WHATEVER /api/v1/me", (), 400),
    ],
    ids=lambda value: str(value)[:30],
)
def test_odd_requests(
    wire: Wire, phone: Device, bearer: str, line: str, headers: tuple[str, ...], expected: int
) -> None:
    with unharmed(phone):
        assert wire.send(line, bearer, *headers)[0] == expected


@pytest.mark.parametrize(
    ("line", "headers", "expected"),
    [
        ("GET /api/v1/me?" + "a" * 20_000, (), (414, "uri_too_long")),
        ("GET /api/v1/me", ("Cookie: a=" + "b" * 100_000,), (431, "headers_too_large")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_too_long_is_told_in_the_shape_of_all_errors(
    wire: Wire, bearer: str, line: str, headers: tuple[str, ...], expected: tuple[int, str]
) -> None:
    status, answer = wire.send(line, bearer, *headers)
    assert (status, json.loads(answer)["errors"][0]["code"]) == expected


def test_slashes_may_be_percent_encoded(wire: Wire, phone: Device, bearer: str) -> None:
    phone.post("plays", play())
    name = item().replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")
    length = "Content-Length: 14"
    status, _ = wire.send(f"PUT /api/v1/plays/{name}/position", bearer, JSON, length, body=b'{"position":7}')
    assert status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_device_that_leaves_in_the_middle_has_sent_nothing(
    wire: Wire, phone: Device, bearer: str, chunked: bool
) -> None:
    entries = [play(number, updated_at="2026-05-01T12:00:00Z") for number in range(100)]
    raw = json.dumps({"play_statuses": entries}).encode()
    with unharmed(phone):
        for share in (10, 3, 2):
            part = raw[: len(raw) * (share - 1) // share]
            length = CHUNKED if chunked else f"Content-Length: {len(raw)}"
            connection = wire.connect()
            connection.sendall(head("POST /api/v1/sync", bearer, JSON, length))
            connection.sendall(b"%x\r\n%b" % (len(raw), part) if chunked else part)
            connection.close()
        assert wire.send("GET /api/v1/me", bearer)[0] == 200


def test_a_lost_answer_is_given_again(wire: Wire, phone: Device, bearer: str, good: bytes) -> None:
    key = "Idempotency-Key: 0f8fad5b-d9cb-469f-a165-70867728950e"
    request = head("POST /api/v1/plays", bearer, JSON, key, f"Content-Length: {len(good)}") + good
    with wire.connect() as connection:
        connection.sendall(request)  # disconnect without waiting for the answer
    answers = []
    for _ in range(3):
        status, body = wire.send(
            "POST /api/v1/plays", bearer, JSON, key, f"Content-Length: {len(good)}", body=good
        )
        answers.append(body)
        assert status == 200
    assert len(set(answers)) == 1
    assert count_events() == 1


def test_bodies_that_dribble_make_nobody_wait(wire: Wire, bearer: str) -> None:
    alone = [seconds(wire, bearer) for _ in range(40)]
    stalled = [wire.connect() for _ in range(200)]
    try:
        for number, connection in enumerate(stalled):
            length = CHUNKED if number % 2 else "Content-Length: 1000"
            connection.sendall(head("POST /api/v1/plays", bearer, JSON, length) + b"5\r\n{")
        beside = [seconds(wire, bearer) for _ in range(40)]
    finally:
        for connection in stalled:
            connection.close()
    # with slack, because a busy machine alone makes more of a difference
    assert sorted(beside)[-3] < 2 * sorted(alone)[-3] + 0.2


def seconds(wire: Wire, bearer: str) -> float:
    """Return how many seconds a read and a liveness check take together."""
    began = time.monotonic()
    assert wire.send("GET /api/v1/me", bearer)[0] == 200
    assert wire.send("GET /health/live")[0] == 200
    return time.monotonic() - began


def test_after_a_refusal_the_connection_goes_on_or_says_that_it_ends(wire: Wire, good: bytes) -> None:
    request = head("POST /api/v1/plays", JSON, f"Content-Length: {len(good)}").replace(
        b"Connection: close\r\n", b""
    )
    with wire.connect() as connection:
        for _ in range(3):
            connection.sendall(request + good)
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" not in answer.lower()
    with wire.connect() as connection:
        connection.sendall(request.replace(str(len(good)).encode(), b"104857600"))
        answer = connection.recv(65_536).lower()
        assert answer.startswith(b"http/1.1 401 ")
        assert b"connection: close\r\n" in answer


def test_the_schema_and_its_page_are_served(wire: Wire) -> None:
    assert wire.send(f"GET {reverse('schema')}")[0] == 200
    assert wire.send(f"GET {reverse('docs')}")[0] == 200
    assert wire.send("GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js")[0] == 200
