"""The client with a well-behaved server, and the requests that it sends."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from threading import BoundedSemaphore, active_count

import pytest
from pytest_django.fixtures import Settings

from feeds import lookups
from feeds.fetch import Limits, Request, config, fetch, fetch_one
from feeds.transfer import user_agent
from tests.feeds.origin import Origin, answer, hang, redirect, reset, status_only
from tests.projections.running import eventually


def test_a_document_arrives_with_its_headers(origin: Origin) -> None:
    origin.on("/feed", answer(b"<rss/>", etag='W/"1"', headers=[("Link", "<a>; rel=hub"), ("Link", "<b>")]))
    outcome = fetch_one(Request(origin.url("/feed"), context="mine"))
    assert (outcome.code, outcome.status, outcome.body) == ("ok", 200, b"<rss/>"), outcome
    assert outcome.ok
    assert outcome.request.context == "mine"
    assert outcome.url == origin.url("/feed")
    assert outcome.headers["etag"] == 'W/"1"'
    assert outcome.headers["link"] == "<a>; rel=hub, <b>"
    assert 0 < outcome.seconds < 5
    assert outcome.wire_bytes > len(outcome.body)


def test_it_unpacks_gzip_and_what_is_said_to_be_as_it_is(origin: Origin) -> None:
    body = b"<rss>" + b"episode " * 10_000 + b"</rss>"
    origin.on("/packed", answer(body, packed=True))
    origin.on("/plain", answer(body, headers=[("Content-Encoding", "identity")]))
    packed, plain = (fetch_one(Request(origin.url(path))) for path in ("/packed", "/plain"))
    assert packed.body == plain.body == body
    assert packed.wire_bytes < plain.wire_bytes / 10


def test_validators_go_out_byte_for_byte_and_only_then_a_304_is_good(origin: Origin) -> None:
    odd = [('W/"1"', ""), ("no-quotes", ""), ("", "yesterday"), ('"\xe9"', formatdate(0, usegmt=True))]
    origin.on("/feed", status_only(304, body=b""))
    for etag, last_modified in odd:
        outcome = fetch_one(Request(origin.url("/feed"), etag=etag, last_modified=last_modified))
        assert (outcome.code, outcome.status) == ("not_modified", 304), etag
        asked = origin.requests[-1].headers
        assert asked.get("if-none-match", "") == etag
        assert asked.get("if-modified-since", "") == last_modified
    assert fetch_one(Request(origin.url("/feed"))).code == "bad_answer"
    smuggling = Request(origin.url("/feed"), etag='"1"\r\nX-Smuggled: yes')
    assert fetch_one(smuggling).code == "bad_answer"
    assert "x-smuggled" not in origin.requests[-1].headers
    assert "if-none-match" not in origin.requests[-1].headers


def test_every_status_has_its_code(origin: Origin) -> None:
    expected = {
        **dict.fromkeys((201, 204, 206, 300, 305, 306), "bad_answer"),
        **dict.fromkeys((401, 407), "needs_login"),
        **dict.fromkeys((403, 451), "forbidden"),
        **dict.fromkeys((429, 503), "paused"),
        **dict.fromkeys((400, 405, 418, 500, 502, 599), "http_error"),
        404: "not_found",
        410: "gone",
    }
    for status in expected:
        origin.on(f"/{status}", status_only(status, body=b"" if status == 204 else b"no\n"))
    outcomes = list(fetch(Request(origin.url(f"/{status}")) for status in expected))
    assert {outcome.status: outcome.code for outcome in outcomes} == expected
    assert not any(outcome.ok or outcome.body for outcome in outcomes)


def test_what_a_server_says_of_waiting_is_read_and_not_judged(origin: Origin) -> None:
    cases = {"120": 120, "0": 0, "9" * 30: 999_999_999_999, "soon": None, "-5": None, "": None}
    for value, expected in cases.items():
        origin.on("/feed", status_only(429, ("Retry-After", value)))
        assert fetch_one(Request(origin.url("/feed"))).retry_after_s == expected, value
    origin.on("/feed", status_only(503, ("Retry-After", formatdate(time.time() + 600, usegmt=True))))
    assert fetch_one(Request(origin.url("/feed"))).retry_after_s in range(590, 602)
    origin.on("/feed", status_only(503, ("Retry-After", formatdate(0, usegmt=True))))
    assert fetch_one(Request(origin.url("/feed"))).retry_after_s == 0


def test_redirects_are_followed_and_told(origin: Origin) -> None:
    origin.on("/1", redirect("/2?a=%7Eb", 301))
    origin.on("/2?a=%7Eb", redirect("3", 308))
    origin.on("/3", redirect(f"{origin.url('/4')}#top", 307))
    origin.on("/4", redirect(f"//127.0.0.1:{origin.port}/5", 302))
    origin.on("/5", redirect("?6", 303))
    origin.on("/5?6", answer(b"here"))
    outcome = fetch_one(Request(origin.url("/1"), etag='"1"'))
    assert (outcome.code, outcome.body, outcome.url) == ("ok", b"here", origin.url("/5?6"))
    assert [hop.status for hop in outcome.hops] == [301, 308, 307, 302, 303]
    assert (outcome.hops[0].url, outcome.hops[0].to) == (origin.url("/1"), origin.url("/2?a=%7Eb"))
    assert [request.headers.get("if-none-match") for request in origin.requests] == ['"1"'] * 6
    assert origin.connections == 1


def test_it_says_who_it_is_and_how_many_listen_unless_that_is_a_secret(
    origin: Origin, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://balados.example"
    origin.on("/feed", answer(b"<rss/>"))
    fetch_one(Request(origin.url("/feed"), followers=1_234))
    asked = origin.requests[0].headers
    assert asked["user-agent"].endswith(" (+https://balados.example/about/fetcher; 1000 followers)")
    assert asked["user-agent"].startswith("Balados/0.")
    assert asked.keys() == {"host", "user-agent", "accept", "accept-encoding"}
    assert asked["accept-encoding"] == "gzip"
    fetch_one(Request(origin.url("/feed")))
    assert "balados.example" not in origin.requests[1].headers["user-agent"]
    rounded = {0: "", 2: "", 3: "; 3 f", 14: "; 10 f", 18: "; 20 f", 987: "; 1000 f"}
    for followers, words in rounded.items():
        assert user_agent(config(), followers).partition("fetcher")[2].startswith(f"{words}" or ")")


def test_nothing_of_the_environment_has_a_say(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login alice password secret\n")
    monkeypatch.setenv("HOME", str(home))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    origin.on("/feed", answer(b"<rss/>", headers=[("Set-Cookie", "a=b; path=/")]))
    assert [each.code for each in fetch([Request(origin.url("/feed"))] * 2, concurrency=1)] == ["ok", "ok"]
    for asked in origin.requests:
        assert not {"cookie", "authorization", "proxy-authorization", "referer"} & asked.headers.keys()


def test_connections_are_kept_while_a_run_lasts(origin: Origin) -> None:
    origin.otherwise(answer(b"<rss/>"))
    assert len(list(fetch((Request(origin.url(f"/{number}")) for number in range(50)), concurrency=2))) == 50
    assert origin.connections <= 2


def test_no_more_run_at_a_time_than_may_and_none_is_asked_for_too_early(origin: Origin) -> None:
    origin.otherwise(answer(b"<rss/>", delay=0.01))
    asked = 0

    def requests() -> Iterator[Request]:
        nonlocal asked
        for number in range(30):
            asked += 1
            yield Request(origin.url(f"/{number}"))

    for done, _ in enumerate(fetch(requests(), concurrency=5)):
        assert asked <= done + 5
    assert origin.busiest["127.0.0.1"] <= 5


def test_an_iterable_that_has_nothing_is_asked_again(origin: Origin) -> None:
    origin.on("/slow", answer(b"slow", delay=0.3))
    origin.on("/late", answer(b"late"))
    began = time.monotonic()
    times: list[float] = []

    def requests() -> Iterator[Request | None]:
        yield None  # nothing to fetch, while nothing is in flight
        yield Request(origin.url("/slow"))
        while time.monotonic() < began + 0.2:
            times.append(time.monotonic())
            yield None
        yield Request(origin.url("/late"))

    assert [outcome.body for outcome in fetch(requests())] == [b"late", b"slow"]
    assert 2 <= len(times) <= 20


def test_servers_that_hang_hold_nobody_up(origin: Origin) -> None:
    origin.on("/hangs", hang())
    origin.otherwise(answer(b"<rss/>"))
    urls = [origin.url("/hangs")] * 150 + [origin.url(f"/{number}") for number in range(100)]
    began = time.monotonic()
    with closing(fetch(map(Request, urls), limits=Limits(total_s=5))) as outcomes:  # type: ignore[type-var]
        good = [next(outcomes) for _ in range(100)]
    assert {outcome.code for outcome in good} == {"ok"}
    assert time.monotonic() - began < 4


def test_names_that_are_not_found_hold_nobody_up(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin_host = "feeds.example"
    seconds = 1.0
    asked: list[str] = []

    def getaddrinfo(host: str, *arguments: object, **named: object) -> object:
        asked.append(host)
        if host == origin_host:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
        time.sleep(seconds)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    origin.otherwise(answer(b"<rss/>"))
    good = origin.url("/feed", host=origin_host)
    urls = [f"http://slow{number}.example/" for number in range(60)] + [good] * 3
    outcomes = list(fetch(map(Request, urls), limits=Limits(connect_s=0.3)))
    assert [outcome.url for outcome in outcomes[:3]] == [good] * 3
    assert {outcome.code for outcome in outcomes[:3]} == {"ok"}
    assert [outcome.code for outcome in outcomes[3:]] == ["timeout"] * 60
    assert max(outcome.seconds for outcome in outcomes) < seconds
    assert len(asked) == 61
    assert origin.requests[0].headers["host"] == f"{origin_host}:{origin.port}"


def test_name_servers_are_not_asked_in_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(lookups, "_threads", BoundedSemaphore(512))
    monkeypatch.setattr(lookups.Names, "_look_up", lambda names, host: begun.append(host))
    names = lookups.Names[int]()
    for number in range(60):
        names.ask(f"host{number}.example", number, 5.0)
    assert not names.begin(5.09)
    eventually(lambda: len(begun) == 32)
    assert names.begin(5.11)
    eventually(lambda: len(begun) == 60)
    names.close()


def test_what_cannot_be_reached_is_told_as_such(origin: Origin) -> None:
    origin.on("/reset", reset())
    origin.on("/feed", answer(b"<rss/>"))
    assert fetch_one(Request(origin.url("/reset"))).code == "unreachable"
    assert fetch_one(Request("http://nowhere.invalid/")).code == "unreachable"
    origin.stop()
    stopped = fetch_one(Request(origin.url("/feed")))
    assert (stopped.code, stopped.status, stopped.body) == ("unreachable", None, b"")
    assert "127.0.0.1" not in stopped.detail
    origin.start()
    assert fetch_one(Request(origin.url("/feed"))).code == "ok"


def test_a_run_that_is_left_early_leaves_nothing_behind(origin: Origin) -> None:
    origin.otherwise(hang())
    origin.on("/feed", answer(b"<rss/>"))
    threads = active_count()
    outcomes = fetch(Request(origin.url(path)) for path in ("/feed", "/a", "/b"))
    assert next(outcomes).code == "ok"
    outcomes.close()  # type: ignore[attr-defined]
    assert active_count() == threads
