"""Apps on devices, as the API sees them, and checks that tests make after refused requests."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from django.db import connections
from django.http import HttpResponse
from django.test import Client

from eventstore.domain.identifiers import InvalidIdentifier, normalise_item, shown_item
from tests.apps import App

FEED_URL = "https://example.org/feed.xml"
JSON = "application/json"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def url_safe(name: str) -> str:
    return name.replace("+", "-").replace("/", "_").rstrip("=")


def feed(number: int = 1) -> str:
    return b64(f"https://example.org/{number}.xml")


def item(number: int = 1) -> str:
    return b64(f"episode-{number},https://example.org/{number}.mp3")


def play(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return the body of a play to record."""
    entry = {"rss_source_feed": feed(), "rss_source_item": item(number), "position": 60, "played": False}
    entry |= changes
    return parts(entry["rss_source_item"]) | entry


def parts(item: object) -> dict[str, str]:
    """Return the GUID and enclosure URL that answers show beside an item; nothing if it is invalid."""
    try:
        _, guid, enclosure_url = shown_item(normalise_item(str(item)))
    except InvalidIdentifier:
        return {}
    return {"guid": guid, "enclosure_url": enclosure_url}


def status(number: int = 1, at: str = "2026-05-01T12:00:00Z", **changes: Any) -> dict[str, Any]:
    """Return a play status as a sync has it."""
    return play(number, **{"updated_at": at, "speed": None, "started": None, "total": None, **changes})


class Device:
    """One user's app on a device; ``claims`` are added to its tokens."""

    def __init__(self, user_id: UUID, app: App | None = None, **claims: Any) -> None:
        self.user_id = user_id
        self.app = app or App()
        self.claims = claims
        self.client = Client(raise_request_exception=False)

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers, with one token for all requests: signing a token takes as long as a request."""
        return self.app.bearer(self.user_id, **self.claims)

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self._send("GET", path, b"", JSON, headers)

    def post(self, path: str, body: object, **headers: str) -> HttpResponse:
        return self._send("POST", path, json.dumps(body).encode(), JSON, headers)

    def put(self, path: str, body: object, **headers: str) -> HttpResponse:
        return self._send("PUT", path, json.dumps(body).encode(), JSON, headers)

    def patch(self, path: str, body: object, **headers: str) -> HttpResponse:
        return self._send("PATCH", path, json.dumps(body).encode(), JSON, headers)

    def delete(self, path: str, **headers: str) -> HttpResponse:
        return self._send("DELETE", path, b"", JSON, headers)

    def send(
        self, method: str, path: str, raw: bytes = b"", kind: str = JSON, **headers: str
    ) -> HttpResponse:
        """Send a request; ``path`` is below /api/v1/, and ``headers`` have underscores instead of hyphens."""
        return self._send(method, path, raw, kind, headers)

    def _send(self, method: str, path: str, raw: bytes, kind: str, headers: dict[str, str]) -> HttpResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.generic(
            method,
            f"/api/v1/{path}",
            raw,
            content_type=kind,
            headers={"Content-Type": kind, **self.headers, **named},
        )
        return cast(HttpResponse, answer)

    def sync(self, cursor: str | None = None, **lists: list[dict[str, Any]]) -> dict[str, Any]:
        answer = self.post("sync", {"cursor": cursor, **lists})
        assert answer.status_code == 200, answer.content
        return document(answer)


def document(answer: HttpResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


def faults(answer: HttpResponse) -> dict[str | None, str]:
    """Return the codes of an error answer by place; the answer must have the form that all errors share."""
    kind = "server_error" if answer.status_code >= 500 else "client_error"
    assert document(answer).get("type") in (kind, "validation_error"), answer.content
    return faults_in(answer.content)


def faults_in(content: bytes) -> dict[str | None, str]:
    error = json.loads(content)
    assert set(error) == {"type", "errors"}, content
    for entry in error["errors"]:
        assert set(entry) == {"code", "detail", "attr"}
        assert entry["code"]
        assert entry["detail"]
    return {entry["attr"]: entry["code"] for entry in error["errors"]}


def code_of(answer: HttpResponse) -> str:
    (code,) = faults(answer).values()
    return code


def in_path(text: str) -> str:
    """Percent-encode the text, including slashes."""
    return quote(text, safe="")


def count_events(*types: str) -> int:
    """Return how many events there are of these types, or of all types if none is given."""
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM events.events WHERE type = ANY(%s) OR %s", [list(types), not types]
        )
        return int(cursor.fetchone()[0])


@contextmanager
def unharmed(device: Device) -> Iterator[None]:
    """Check that nothing is recorded inside the block, and that a good request still works after it."""
    before = count_events()
    yield
    assert count_events() == before
    assert device.get("me").status_code == 200
