"""Rules for browsers: which origins may call the API, and what the documentation page may load."""

import json
import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from tests.api.devices import Device, unharmed

EVIL = "https://evil.example"
PATHS = ["me", "plays", "nope", "plays?limit=x"]


@pytest.mark.parametrize("path", PATHS)
def test_any_page_may_call_with_a_token_and_without_cookies(phone: Device, path: str) -> None:
    answer = phone.get(path, Origin=EVIL)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    readable = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Balados-Position", "ETag", "Retry-After", "X-Request-ID"} <= set(readable)


def test_any_page_may_read_a_refusal() -> None:
    answer = Client().get("/api/v1/me", headers={"Origin": EVIL})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_is_answered_without_a_token(path: str) -> None:
    asked = {
        "Origin": EVIL,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": (
            "authorization, content-type, if-none-match, idempotency-key, balados-position"
        ),
    }
    answer = Client().options(f"/api/v1/{path}", headers=asked)
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(allowed) == set(asked["Access-Control-Request-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("path", ["/", "/users/log_in", "/apps"])
def test_pages_with_a_session_allow_nobody(path: str) -> None:
    for answer in (
        Client().get(path, headers={"Origin": EVIL}),
        Client().options(path, headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_answers_are_not_kept_and_are_no_pages(phone: Device, path: str) -> None:
    headers = phone.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("host", ["evil.example", "", "localhost.evil.example", "127.0.0.1:x", "a b"])
def test_another_name_is_refused(phone: Device, host: str) -> None:
    with unharmed(phone):
        answer = phone.get("me", Host=host)
        assert answer.status_code == 400
        [error] = json.loads(answer.content)["errors"]
        assert error["code"] == "disallowed_host"
        assert f"host name {host}." in error["detail"]
        assert "ALLOWED_HOSTS" in error["detail"]


def test_X_Forwarded_Host_means_nothing(phone: Device) -> None:
    assert phone.get("me", X_Forwarded_Host="evil.example").status_code == 200


def test_the_schema_is_public_and_may_be_kept() -> None:
    answer = Client().get("/api/schema/")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.json()["openapi"].startswith("3.1")


def test_the_documentation_loads_nothing_from_elsewhere() -> None:
    page = Client().get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(loaded) == 5
    for address in loaded:
        assert address.startswith("/")
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/"))
    # the page contains nothing that its content security policy forbids
    assert "<script>" not in text
    assert not re.search(r"\son\w+=", text)


def test_its_policy_is_its_own() -> None:
    policy = Client().get("/api/docs/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in Client().get("/api/schema/").headers["Content-Security-Policy"]


def test_its_script_is_a_file_and_asks_for_the_schema() -> None:
    answer = Client().get("/api/docs/?script=")
    assert answer.headers["Content-Type"] == "application/javascript"
    # escaped as JavaScript
    address = re.search(r'url: "([^"]+)"', answer.content.decode())
    assert address
    assert address[1].encode().decode("unicode_escape") == reverse("schema")


@pytest.mark.parametrize("query", ["lang=<script>alert(1)</script>", "version=%22%3E%3Cscript", "x='><img>"])
def test_what_stands_in_its_address_stays_text(query: str) -> None:
    for address in (f"/api/docs/?{query}", f"/api/docs/?script=&{query}"):
        text = Client().get(address).content.decode()
        assert "<script>alert" not in text
        assert "'><img" not in text
        assert '"><script' not in text
