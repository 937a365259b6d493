"""Request bodies that arrive slowly, or never, occupy no thread; answers have a body and a content type."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from django.urls import resolve

from api.v1 import export, sync
from balados import buffering, portability
from balados.buffering import Buffered, to_environment

Message = dict[str, Any]


def scope(method: str = "POST", path: bytes = b"/api/v1/sync", **headers: str) -> dict[str, Any]:
    return {
        "method": method,
        "raw_path": path,
        "query_string": b"a=%ff",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", "8000"),
        "client": ("192.0.2.1", "5000"),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def echo(environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environment["wsgi.input"].read()]


def ask(asked: dict[str, Any], *parts: Message | None, wsgi: Any = echo) -> tuple[int, dict[str, str], bytes]:
    """Return the answer's status, headers and content; after a part that is None nothing more arrives."""
    left, sent = list(parts), []

    async def receive() -> Message:
        part = left.pop(0)
        if part is None:
            await asyncio.Event().wait()
        assert part
        return part

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Buffered(wsgi)(asked, receive, send))
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_that_came_is_handed_over_whole() -> None:
    status, headers, content = ask(scope(content_length="4"), part(b"ab"), part(b"cd", False))
    assert (status, content) == (200, b"abcd")
    assert "connection" not in headers


def test_a_request_without_a_body_waits_for_none() -> None:
    assert ask(scope("GET"))[2] == ask(scope(content_length="0"))[2] == b""


def test_a_body_that_stalls_is_refused_in_the_shape_of_who_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffering, "PATIENCE", 0.01)
    monkeypatch.setattr(buffering, "LOOK_EVERY", 0.01)
    status, headers, content = ask(scope(content_length="9"), part(b"ab"), None)
    assert status == 408
    assert json.loads(content)["errors"] == [
        {"code": "timeout", "detail": "The body did not come in time.", "attr": None}
    ]
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    status, headers, content = ask(scope(path=b"/users/log_in", transfer_encoding="chunked"), None)
    assert (status, headers["content-type"]) == (408, "text/plain")
    assert content == b"The body did not come in time.\n"


def test_a_body_that_keeps_coming_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffering, "PATIENCE", 0.05)
    monkeypatch.setattr(buffering, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(buffering, "BYTES_PER_SECOND", 1)
    parts = [part(b"x") for _ in range(20)]

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return parts.pop(0) if parts else part(b"", False)

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Buffered(echo)(scope(transfer_encoding="chunked"), receive, send))
    assert sent[1]["body"] == b"x" * 20


def test_the_largest_body_that_a_view_takes_is_let_in() -> None:
    assert (buffering.LARGEST, buffering.LARGEST_IMPORT) == (sync.LARGEST, export.LARGEST)
    assert export.LARGEST < buffering.MOST_HELD
    of_apps, of_pages = map(resolve, buffering.IMPORTS)
    assert vars(of_apps.func)["view_class"] is export.ImportView
    assert of_pages.func is portability.data


def test_of_a_body_that_is_too_large_no_more_is_read_and_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffering, "LARGEST", 3)
    assert ask(scope(content_length="4"))[1]["connection"] == "close"
    _, headers, content = ask(scope(transfer_encoding="chunked"), part(b"ab"), part(b"cd"))
    assert (headers["connection"], content) == ("close", b"abcd")


def test_what_a_hub_pushes_is_read_to_its_end_and_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffering, "MOST_HELD", 1)
    pushed = scope(path=b"/websub/x", transfer_encoding="chunked")
    part_of_it = part(b"x" * 8 * 1024 * 1024)
    _, headers, content = ask(pushed, part_of_it, part_of_it, part(part_of_it["body"], False))
    assert ("connection" in headers, content) == (False, b"")
    _, headers, content = ask(pushed, *[part_of_it] * 4)
    assert (headers["connection"], content) == ("close", b"")


def test_a_body_that_breaks_off_is_a_bad_request() -> None:
    status, headers, content = ask(scope(content_length="9"), part(b"ab"), {"type": "http.disconnect"})
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(content)["type"] == "client_error"


def test_large_bodies_are_turned_away_where_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffering, "MOST_HELD", 1)
    monkeypatch.setattr(buffering, "SMALL", 3)
    assert ask(scope(content_length="3"), part(b"abc", False))[0] == 200
    status, headers, content = ask(scope(content_length="4"), part(b"abcd", False))
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(content)["type"] == "server_error"


def test_requests_are_turned_away_where_too_many_wait_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffering, "MOST_WAITING", 0)
    assert ask(scope("GET"))[0] == 503


def test_the_request_is_as_it_was_sent() -> None:
    asked = scope("GET", b"/caf%C3%A9/%zz%ff", content_type="a/b", x_forwarded_for="192.0.2.7")
    asked["headers"] += [(b"x_forwarded_for", b"192.0.2.8"), (b"x-forwarded-for", b"192.0.2.9")]
    asked["headers"] += [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x", b"\xe9")]
    environment = to_environment(asked)
    assert environment["PATH_INFO"] == "/caf\xc3\xa9/%zz\xff"
    assert environment["QUERY_STRING"] == "a=%ff"
    assert environment["CONTENT_TYPE"] == "a/b"
    assert environment["REMOTE_ADDR"] == "192.0.2.1"
    assert environment["HTTP_X_FORWARDED_FOR"] == "192.0.2.7,192.0.2.9"
    assert environment["HTTP_COOKIE"] == "a=1; b=2"
    assert environment["HTTP_X"] == "\xe9"


def test_an_answer_is_closed_also_when_it_fails() -> None:
    class Failing(list[bytes]):
        closed = False

        def __iter__(self) -> Any:
            raise ZeroDivisionError

        def close(self) -> None:
            self.closed = True

    failing = Failing()
    with pytest.raises(ZeroDivisionError):
        buffering.answer(lambda environment, start_response: failing, {})
    assert failing.closed
