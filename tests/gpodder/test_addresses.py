"""Addresses: those of feeds as apps spell them, and our own as apps receive them."""

import json
from io import BytesIO
from typing import Any

import pytest
from django.core.cache import cache
from django.test import RequestFactory
from django.test.utils import override_script_prefix
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from accounts.models import User
from balados.buffering import answer as answered
from feeds.spelling import Corrections, feed_address
from tests.domain.test_identifiers import REFUSED, SPELLINGS, attempts
from tests.feeds.known import known_feed
from tests.gpodder.apps import PodcastApp, basic
from tests.gpodder.conftest import password_of
from tests.properties import examples

# cases of these apps only, in addition to those of addresses with a scheme
OWN = [
    ("example.org/feed.xml", "http://example.org/feed.xml"),
    ("  example.org/feed.xml\n", "http://example.org/feed.xml"),
    ("Example.org:8443/a%20b", None),
    ("www.example.org", "http://www.example.org/"),
    ("//example.org/feed.xml", None),
    ("a.b", None),
    ("antennapod_local:folder", None),
    ("itpc://example.org/a%20b", "http://example.org/a%20b"),
    ("https://example.org/a%20b?c=%2520", "https://example.org/a%20b?c=%2520"),
]


def test_sixty_spellings_have_one_normal_form_each() -> None:
    rows: list[tuple[str, str | None]] = [*SPELLINGS, *OWN]
    assert len(rows) >= 60
    for spelt, meant in rows:
        found = feed_address(spelt)
        assert found.kept == (meant or ""), (spelt, found)
        assert not meant or feed_address(meant).kept == meant


@given(attempts | st.text(max_size=60))
@examples(20)
def test_what_is_kept_stays_as_it_is(text: str) -> None:
    found = feed_address(text)
    assert bool(found.kept) != bool(found.reason)
    assert not found.kept or feed_address(found.kept).kept == found.kept


def test_each_spelling_that_was_changed_is_answered_once(phone: PodcastApp) -> None:
    spelt = [spelling for spelling, _ in SPELLINGS if not spelling.startswith("http://localhost")]
    refused = [url for urls in REFUSED.values() for url in urls if "\ud800" not in url]
    answer = phone.upload_subscriptions([*spelt, *refused])
    expected = Corrections()
    for one in (*spelt, *refused):
        expected.note(one, feed_address(one))
    assert answer["update_urls"] == expected.listed()
    changed = [spelling for spelling, kept in answer["update_urls"] if kept and spelling in spelt]
    assert changed == list(
        dict.fromkeys(spelling for spelling, meant in SPELLINGS if spelling in spelt and spelling != meant)
    )
    assert not any("secret@" in spelling for spelling, _ in answer["update_urls"])
    kept = {feed_address(one).kept for one in (*spelt, *refused)} - {""}
    assert len(phone.subscriptions()["add"]) == len(kept)


# our own addresses


def ask(path: str, prefix: str, host: str, method: str = "GET", body: Any = None, **headers: Any) -> Any:
    """Send a request below a prefix that the proxy in front has removed, as a WSGI server passes it on."""
    from balados.wsgi import application

    raw = b"" if body is None else json.dumps(body).encode()
    environ = RequestFactory().generic(method, path, raw, SERVER_NAME=host, **headers).environ
    with override_script_prefix("/"):
        found = answered(application, environ | {"SCRIPT_NAME": prefix, "PATH_INFO": path})
    assert found.status == 200, found
    return found


def test_a_body_may_come_in_chunks(alice: User) -> None:
    from balados.wsgi import application

    path = "/api/2/subscriptions/alice/phone.json"
    headers = {"HTTP_AUTHORIZATION": basic("alice", password_of(alice)), "HTTP_TRANSFER_ENCODING": "chunked"}
    for body, status in (
        (b'{"add":["https://example.org/1.xml"]}', 200),
        (b" " * (16 * 1024 * 1024 + 1), 413),
    ):
        environ = RequestFactory().generic("POST", path, **headers).environ  # type: ignore[arg-type]
        environ |= {"CONTENT_LENGTH": "", "wsgi.input": BytesIO(body)}
        assert answered(application, environ).status == status


@pytest.mark.parametrize(
    ("public", "prefix"),
    [
        ("http://pod.example", ""),
        ("https://pod.example", ""),
        ("https://pod.example:8443", ""),
        ("http://pod.example", "/sub"),
    ],
)
def test_addresses_that_apps_are_given_lead_back_here(
    alice: User, settings: Settings, public: str, prefix: str
) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = public, ["pod.example"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    cache.clear()
    base, scheme = f"{public}{prefix}", public.partition(":")[0]
    known_feed("https://example.org/1.xml", title="One", cover_url="https://example.org/1.jpg")
    headers = {"HTTP_HOST": public.partition("//")[2], "HTTP_X_FORWARDED_PROTO": scheme}
    headers["HTTP_AUTHORIZATION"] = basic("alice", password_of(alice))

    found = json.loads(ask("/index.php/login/v2", prefix, "pod.example", "POST", **headers).content)
    assert found["login"].startswith(f"{base}/login/v2/flow/")
    assert found["poll"]["endpoint"] == f"{base}/index.php/login/v2/poll"
    config = json.loads(ask("/clientconfig.json", prefix, "pod.example", **headers).content)
    assert config["mygpo"]["baseurl"] == f"{base}/"
    body = {"add": ["https://example.org/1.xml"]}
    ask("/api/2/subscriptions/alice/phone.json", prefix, "pod.example", "POST", body, **headers)
    answer = ask("/subscriptions/alice.json", prefix, "pod.example", **headers)
    (podcast,) = json.loads(answer.content)
    for name in ("logo_url", "scaled_logo_url", "mygpo_link"):
        assert podcast[name].startswith(f"{base}/"), name
    (cookie,) = [value for name, value in answer.headers if name == "Set-Cookie"]
    assert f"; Path={prefix}/;" in cookie
    assert ("Secure" in cookie) == (scheme == "https")
