"""What the HTTP server itself answers, byte by byte: requests that are no HTTP, too large, too slow or too
many."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from balados import protocol
from balados.buffering import LARGEST_HEADERS, LONGEST_ADDRESS, MOST_HEADERS, Buffered
from balados.serve import Server, configuration

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
GET = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /api/v1/plays HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class Application:
    """A WSGI application that remembers what it was asked, and returns the method, path and body of it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.goes_on = threading.Event()

    def __call__(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environment["wsgi.input"].read()
        self.asked.append(environment)
        path = environment["PATH_INFO"]
        if path == "/waits":
            assert self.goes_on.wait(30)
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/large":
            return [b"x" * 8 * 1024 * 1024]
        return [f"{environment['REQUEST_METHOD']} {path} ".encode(), body]


class Served:
    def __init__(self, application: Application) -> None:
        self.application = application
        self.server = Server(configuration(Buffered(application)))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.server.serve([self._listening]))

    def stop(self) -> None:
        self.server.handle_exit(15, None)
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def paths(self) -> list[str]:
        return [each["PATH_INFO"] for each in self.application.asked]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, *parts: bytes) -> bytes:
        """Send these parts, and return all that is answered until the connection ends."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answers)]


def parts_of(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers and content of a single answer that ended the connection."""
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines), "a header twice"
    return int(first.split()[1]), headers, content


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("balados.serve.CHECK_EVERY", 0.05)
        served = Served(Application())
        yield served
        served.stop()


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    running.application.asked.clear()
    running.application.goes_on.clear()
    yield running
    running.application.goes_on.set()
    _wait_until(lambda: not running.server.server_state.tasks)


def head(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: localhost", *headers, b"", b""])


POST = b"POST /api/v1/plays HTTP/1.1"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"WHATEVER / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"GET /caf\xe9 HTTP/1.1\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\n\r\n",
        b"GET /a\x7fb HTTP/1.1\r\n\r\n",
        head(b"GET / HTTP/1.1", b"X : y"),
        head(b"GET / HTTP/1.1", b": y"),
        head(b"GET / HTTP/1.1", b"X"),
        head(b"GET / HTTP/1.1", b"X\xe9: y"),
        head(b"GET / HTTP/1.1", b"X: a\x00b"),
        head(b"GET / HTTP/1.1", b"X: a\rb"),
        head(b"GET / HTTP/1.1", b"X: a\x0bb"),
        head(b"GET / HTTP/1.1", b"X: a\nY: b"),
        head(b"GET / HTTP/1.1", b"X: a\r\n b"),
        b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        # the lengths of a body on which two readers could disagree
        head(POST, b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(POST, b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n",
        head(POST, b"Content-Length: 5", b"Content-Length: 6") + b"123456",
        head(POST, b"Content-Length: 5", b"Content-Length: 5") + b"12345",
        head(POST, b"Content-Length: 5, 5") + b"12345",
        head(POST, b"Content-Length: +5") + b"12345",
        head(POST, b"Content-Length: -5") + b"12345",
        head(POST, b"Content-Length: 0x5") + b"12345",
        head(POST, b"Content-Length: 5 5") + b"12345",
        head(POST, b"Content-Length:") + b"12345",
        head(POST, b"Content-Length: " + b"9" * 40),
        head(POST, b"Content-Length : 5") + b"12345",
        head(POST, b"Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        head(POST, b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        head(POST, b"Transfer-Encoding: identity") + b"0\r\n\r\n",
        head(POST, b"Transfer-Encoding : chunked") + b"0\r\n\r\n",
        head(POST, b"Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n",
        head(POST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + b"0\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x5\r\n12345\r\n0\r\n\r\n",
        CHUNKED + b"5 \r\n12345\r\n0\r\n\r\n",
        CHUNKED + b"5\n12345\r\n0\r\n\r\n",
        CHUNKED + b"5\r\n123456\r\n0\r\n\r\n",
        CHUNKED + b"5\r\n12345\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"5;a=\n\r\n12345\r\n0\r\n\r\n",
    ],
    ids=lambda sent: repr(sent)[:70],
)
def test_what_is_not_http_is_refused_with_a_reason_and_reaches_nobody(served: Served, sent: bytes) -> None:
    status, headers, content = parts_of(served.ask(sent))
    assert status == 400
    assert headers["connection"] == "close"
    assert headers["content-length"] == str(len(content))
    assert headers["date"].endswith(" GMT")
    assert "server" not in headers
    if b" /api/" in sent:
        assert headers["content-type"] == "application/json"
        (error,) = json.loads(content)["errors"]
        assert (error["code"], error["attr"]) == ("bad_request", None)
    else:
        assert headers["content-type"] == "text/plain"
        assert content.startswith(b"The request is not valid HTTP")
    assert served.paths == []


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /api/" + b"a" * LONGEST_ADDRESS, 414, "uri_too_long"),
        (head(b"GET /api/" + b"a" * LONGEST_ADDRESS + b" HTTP/1.1"), 414, "uri_too_long"),
        (b"GET /api/" + b"a" * 5_000_000, 414, "uri_too_long"),
        (b"GET /api/a HTTP/1.1\r\nX: " + b"a" * 150_000, 431, "headers_too_large"),
        (b"GET /api/a HTTP/1.1\r\n" + b"a" * 150_000, 431, "headers_too_large"),
        (b"GET /api/a HTTP/1.1\r\n" + b"X: y\r\n" * 50_000, 431, "headers_too_large"),
        (b"GET /api/a HTTP/1.1\r\nX: " + b"a" * 5_000_000, 431, "headers_too_large"),
        (head(b"GET /api/a HTTP/1.1", b"X: " + b"a" * LARGEST_HEADERS), 431, "headers_too_large"),
        (head(b"GET /api/a HTTP/1.1", *[b"X: y"] * MOST_HEADERS), 431, "headers_too_large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_heads_that_are_too_large_are_refused_with_a_reason(
    served: Served, sent: bytes, status: int, code: str
) -> None:
    with served.connect() as connection:
        _send_what_is_taken(connection, sent)
        found, headers, content = parts_of(rest_of(connection))
    assert (found, headers["connection"], headers["content-type"]) == (status, "close", "application/json")
    assert headers["content-length"] == str(len(content))
    assert json.loads(content)["errors"][0]["code"] == code
    assert served.paths == []


def _send_what_is_taken(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # refused meanwhile
        connection.sendall(data)


def test_heads_within_the_limits_are_read(served: Served) -> None:
    longest = b"/" + b"a" * (LONGEST_ADDRESS - 1)
    many = [b"X: y"] * (MOST_HEADERS - 2)
    assert statuses(served.ask(head(b"GET " + longest + b" HTTP/1.1", b"Connection: close", *many))) == [200]
    large = b"X: " + b"a" * (LARGEST_HEADERS - 100)
    assert statuses(served.ask(head(b"GET / HTTP/1.1", b"Connection: close", large))) == [200]


def test_a_client_that_keeps_sending_reads_why_it_is_refused(served: Served) -> None:
    """Closing at once would reset the connection, and the reset can overtake the answer."""
    with served.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 150_000)
        connection.sendall(b"a" * 1_000)
        assert statuses(rest_of(connection)) == [431]
        connection.sendall(b"a" * 1_000)
        connection.sendall(b"a" * 1_000)


def test_a_head_that_dribbles_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIME", 0.3)
    with served.connect() as first, served.connect() as silent, served.connect() as kept:
        kept.sendall(GET)
        assert statuses(kept.recv(65_536)) == [200]
        first.sendall(b"GET /api/v1/me HTTP/1.1\r\nHost: loc")
        kept.sendall(b"GET / HT")
        status, headers, content = parts_of(rest_of(first))
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(content)["errors"][0]["code"] == "timeout"
        assert statuses(rest_of(kept)) == [408]
        assert rest_of(silent) == b""
    assert served.paths == ["/echo"]


def test_a_head_may_come_byte_by_byte(served: Served) -> None:
    sent = head(b"POST /a?b=c HTTP/1.1", b"Content-Length: 2", b"Connection: close") + b"xy"
    answer = served.ask(*[sent[at : at + 1] for at in range(len(sent))])
    assert parts_of(answer)[::2] == (200, b"POST /a xy")


def test_a_connection_that_is_idle_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balados.serve.IDLE", 0.2)
    served = Served(Application())
    try:
        with served.connect() as connection:
            connection.sendall(GET)
            assert statuses(rest_of(connection)) == [200]
        with served.connect() as connection:
            connection.sendall(GET + b"\r\n\r\n")
            assert statuses(rest_of(connection)) == [200]
    finally:
        served.stop()


def test_a_connection_is_not_idle_while_a_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balados.serve.IDLE", 0.1)
    served = Served(Application())
    try:
        with served.connect() as connection:
            # its head has begun to arrive before the first answer is complete
            connection.sendall(GET + b"GET /waits HTTP/1.1\r\n")
            assert statuses(connection.recv(65_536)) == [200]
            connection.sendall(b"Connection: close\r\n\r\n")
            time.sleep(0.5)
            served.application.goes_on.set()
            assert statuses(rest_of(connection)) == [200]
    finally:
        served.stop()


def test_an_answer_that_is_not_read_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_TIME", 0.2)
    monkeypatch.setattr(protocol, "BYTES_PER_SECOND", 1 << 40)
    with served.connect() as connection:
        connection.sendall(GET.replace(b"/echo", b"/large"))
        _wait_until(lambda: not served.server.server_state.connections)
    _wait_until(lambda: not protocol._unread)


def test_an_answer_that_is_read_slowly_is_whole(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_TIME", 0.2)
    with served.connect() as connection:
        connection.sendall(head(b"GET /large HTTP/1.1", b"Connection: close"))
        time.sleep(1)
        assert len(parts_of(rest_of(connection))[2]) == 8 * 1024 * 1024


def test_answers_that_are_not_read_hold_so_much_memory_together(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MOST_UNREAD", 20 * 1024 * 1024)
    slow = [served.connect() for _ in range(6)]
    try:
        for number, connection in enumerate(slow, 1):
            connection.sendall(GET.replace(b"/echo", b"/large"))
            _wait_until(lambda number=number: len(served.paths) == number)
        _wait_until(lambda: len(served.server.server_state.connections) < 6)
        assert sum(protocol._unread.values()) <= 20 * 1024 * 1024
        assert served.server.server_state.connections
        with served.connect() as last:
            last.sendall(head(b"GET /echo HTTP/1.1", b"Connection: close"))
            assert statuses(rest_of(last)) == [200]
    finally:
        for connection in slow:
            connection.close()


def test_requests_that_are_sent_together_are_answered_in_order(served: Served) -> None:
    sent = b"".join(head(b"POST /%d HTTP/1.1" % n, b"Content-Length: 1") + b"x" for n in range(20))
    answers = served.ask(sent + head(b"GET /last HTTP/1.1", b"Connection: close"))
    assert statuses(answers) == [200] * 21
    assert served.paths == [*(f"/{number}" for number in range(20)), "/last"]


def test_of_too_many_requests_that_are_sent_together_the_first_are_answered(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(GET.replace(b"/echo", b"/waits"))
        _wait_until(lambda: len(served.paths) == 1)
        connection.sendall(GET * 2_000)
        time.sleep(0.2)
        served.application.goes_on.set()
        answers = rest_of(connection)
    assert statuses(answers) == [200] * (1 + protocol.MOST_PIPELINED)
    assert answers.lower().count(b"connection: close") == 1
    assert len(served.paths) == 1 + protocol.MOST_PIPELINED


@pytest.mark.parametrize("fault", [b"nonsense\r\n\r\n", CHUNKED + b"nonsense\r\n"])
def test_a_fault_is_told_after_the_answers_to_earlier_requests(served: Served, fault: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(GET.replace(b"/echo", b"/waits") + GET + fault)
        _wait_until(lambda: served.paths == ["/waits"])
        time.sleep(0.2)
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.settimeout(30)
        served.application.goes_on.set()
        assert statuses(rest_of(connection)) == [200, 200, 400]
    assert served.paths == ["/waits", "/echo"]


def test_after_a_fault_nothing_is_read(served: Served) -> None:
    assert statuses(served.ask(b"nonsense\r\n\r\n" + GET)) == [400]
    assert statuses(served.ask(head(b"GET /a HTTP/1.1", b"Connection: close") + GET)) == [200]
    assert served.paths == ["/a"]


def test_a_body_is_asked_for_only_if_it_is_wanted(served: Served) -> None:
    expecting = head(POST, b"Expect: 100-continue", b"Content-Length: 2", b"Connection: close")
    with served.connect() as connection:
        connection.sendall(expecting)
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"xy")
        assert statuses(rest_of(connection)) == [200]
    with served.connect() as connection:
        connection.sendall(expecting.replace(b"Content-Length: 2", b"Content-Length: 999999999"))
        answer = rest_of(connection)
        assert b"100" not in answer.partition(b"\r\n")[0]
        assert b"connection: close" in answer


def test_an_answer_to_head_has_no_content(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(head(b"HEAD /a HTTP/1.1") + head(b"GET /b HTTP/1.1", b"Connection: close"))
        received = rest_of(connection)
    of_head, of_get = (b"HTTP/1.1" + part for part in received.split(b"HTTP/1.1")[1:])
    assert parts_of(of_head)[1]["content-length"] == str(len("HEAD /a "))
    assert parts_of(of_head)[2] == b""
    assert parts_of(of_get)[2] == b"GET /b "


def test_http_1_0_is_answered_without_chunks(served: Served) -> None:
    status, headers, content = parts_of(served.ask(b"GET /a HTTP/1.0\r\n\r\n"))
    assert (status, content, headers["connection"]) == (200, b"GET /a ", "close")
    assert "transfer-encoding" not in headers


def test_what_follows_a_body_is_none_of_its_headers(served: Served) -> None:
    sent = CHUNKED + b"2\r\nxy\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer x\r\n\r\n"
    answers = served.ask(sent + head(b"GET /b HTTP/1.1", b"Connection: close"))
    assert statuses(answers) == [200, 200]
    for asked in served.application.asked:
        assert "HTTP_X_FORWARDED_FOR" not in asked
        assert "HTTP_AUTHORIZATION" not in asked


@pytest.mark.parametrize("filling", [b"5;" + b"a" * 300_000, b"0\r\nX: " + b"a" * 300_000])
def test_the_framing_of_a_body_is_limited(served: Served, filling: bytes) -> None:
    with served.connect() as connection:
        _send_what_is_taken(connection, CHUNKED + filling)
        assert statuses(rest_of(connection)) == [431]
    assert served.paths == []


@pytest.mark.parametrize("protocol_name", [b"h2c", b"websocket"])
def test_an_upgrade_is_not_made(served: Served, protocol_name: bytes) -> None:
    asked = head(b"GET /a HTTP/1.1", b"Connection: Upgrade", b"Upgrade: " + protocol_name)
    status, headers, content = parts_of(served.ask(asked + GET))
    assert (status, headers["connection"], content) == (200, "close", b"GET /a ")
    assert served.paths == ["/a"]


def test_bytes_arrive_as_they_were_sent(served: Served) -> None:
    sent = head(b"GET /caf%C3%A9/%zz%ff?a=%ff HTTP/1.1", b"X: \xe9", b"X_Y: no", b"Connection: close")
    assert statuses(served.ask(sent)) == [200]
    assert statuses(served.ask(head("GET /café?a=é HTTP/1.1".encode(), b"Connection: close"))) == [200]
    asked, raw = served.application.asked
    assert (raw["PATH_INFO"], raw["QUERY_STRING"]) == ("/caf\xc3\xa9", "a=%C3%A9")
    assert asked["PATH_INFO"] == "/caf\xc3\xa9/%zz\xff"
    assert (asked["QUERY_STRING"], asked["HTTP_X"]) == ("a=%ff", "\xe9")
    assert "HTTP_X_Y" not in asked


def test_an_early_answer_reaches_a_client_that_is_still_sending(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(head(POST, b"Content-Length: 999999999") + b"x" * 1_000)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65_536)
        connection.sendall(b"x" * 10_000)
        connection.sendall(b"x" * 10_000)
        assert statuses(answer + rest_of(connection)) == [200]


def test_too_many_connections_are_turned_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 2)
    with served.connect() as first, served.connect() as second:
        for connection in (first, second):
            connection.sendall(GET)
            assert statuses(connection.recv(65_536)) == [200]
        status, headers, _ = parts_of(served.ask())
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "5")
        first.close()
        _wait_until(lambda: len(served.server.server_state.connections) < 2)
        assert statuses(served.ask(head(b"GET /a HTTP/1.1", b"Connection: close"))) == [200]


def test_clients_that_leave_are_not_worth_a_warning(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    large, waits = GET.replace(b"/echo", b"/large"), GET.replace(b"/echo", b"/waits")
    with caplog.at_level(logging.WARNING):
        for sent in (b"", b"GET / HT", GET, large, waits, waits + GET * 3, CHUNKED + b"5\r\nab", b"x"):
            connection = served.connect()
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.close()
        served.application.goes_on.set()
        _wait_until(lambda: not served.server.server_state.connections)
        _wait_until(lambda: not served.server.server_state.tasks)
        served.application.asked.clear()
        with served.connect() as connection:
            connection.sendall(large * 3)
            # the first is not read, and the second waits for its turn
            _wait_until(lambda: len(served.paths) >= 2)
        _wait_until(lambda: not served.server.server_state.connections)
        _wait_until(lambda: not served.server.server_state.tasks)
    assert caplog.text == ""


def test_a_stop_waits_for_requests_and_closes_what_is_idle() -> None:
    served = Served(Application())
    with served.connect() as idle, served.connect() as begun, served.connect() as waiting:
        idle.sendall(GET)
        assert statuses(idle.recv(65_536)) == [200]
        begun.sendall(b"GET / HT")
        waiting.sendall(GET.replace(b"/echo", b"/waits"))
        _wait_until(lambda: "/waits" in served.paths)
        stopping = threading.Thread(target=served.stop)
        stopping.start()
        assert rest_of(idle) == rest_of(begun) == b""
        served.application.goes_on.set()
        assert statuses(rest_of(waiting)) == [200]
        stopping.join(30)


def _wait_until(condition: Any) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
