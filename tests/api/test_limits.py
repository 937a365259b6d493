"""How many requests one caller may send."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from unittest.mock import patch

import pytest
import redis
from django.db import connections
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import attempts
from accounts.models import User
from api import throttles
from tests.api.devices import Device, code_of, play
from tests.apps import App


@pytest.fixture(autouse=True)
def _fresh(settings: Settings) -> Iterator[None]:
    """Start with empty counters."""
    settings.API_REQUESTS_PER_MINUTE = settings.API_FAILURES_PER_MINUTE = 0
    url = settings.REDIS_URL
    _forget(url)
    yield
    _forget(url)


def _forget(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter("balados:*"):
            client.delete(key)


def fail(address: str = "198.51.100.7", **headers: str) -> int:
    """Send a request without a valid token from that address, and return the status code."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(REMOTE_ADDR=address).get("/api/v1/me", headers=named).status_code


def test_too_many_requests_are_429(phone: Device, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    assert [phone.get("me").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = phone.post("plays", play())
    assert (answer.status_code, code_of(answer)) == (429, "throttled")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert f"Try again in {answer.headers['Retry-After']} s." in answer.content.decode()


def test_each_app_and_each_listener_has_its_own(phone: Device, bobs: Device, settings: Settings) -> None:
    other = App(iss="org.example.other")
    other.grant(User.objects.get(username="alice"))
    settings.API_REQUESTS_PER_MINUTE = 1
    devices = [phone, bobs, Device(phone.user_id, other)]
    assert [device.get("me").status_code for device in devices] == [200, 200, 200]
    assert [device.get("me").status_code for device in devices] == [429, 429, 429]


def test_the_window_passes(phone: Device, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_REQUESTS_PER_MINUTE = 1
    monkeypatch.setattr(throttles, "WINDOW", timedelta(milliseconds=50))
    assert phone.get("me").status_code == 200
    refused = phone.get("me")
    if refused.status_code == 429:  # unless the window has ended already
        assert refused.headers["Retry-After"] == "1"
    deadline = time.monotonic() + 60
    while phone.get("me").status_code != 200:
        assert time.monotonic() < deadline


def test_failures_are_counted_by_address(phone: Device, settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE = 2
    assert [fail() for _ in range(3)] == [401, 401, 429]
    assert fail("198.51.100.8") == 401
    # a caller with a valid token is still let in from that address
    phone.client.defaults["REMOTE_ADDR"] = "198.51.100.7"
    assert phone.get("me").status_code == 200


def test_X_Forwarded_For_is_not_believed(settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE = 3
    assert [fail(X_Forwarded_For=f"203.0.113.{number}") for number in range(4)] == [401, 401, 401, 429]


def test_X_Forwarded_For_is_believed_as_far_as_our_own_proxies_wrote_it(settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE, settings.TRUSTED_PROXIES = 2, 1
    spoofed = [f"203.0.113.{number}, 192.0.2.1" for number in range(3)]
    assert [fail(X_Forwarded_For=value) for value in spoofed] == [401, 401, 429]
    assert fail(X_Forwarded_For="192.0.2.1, 192.0.2.2") == 401
    many = ", ".join(f"203.0.113.{number % 250}" for number in range(1_000))
    assert [fail(X_Forwarded_For=many) for _ in range(3)] == [401, 401, 429]


def test_IPv6_is_counted_by_household(settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE = 2
    assert [fail(f"2001:db8:1:2::{number:x}") for number in range(3)] == [401, 401, 429]
    assert fail("2001:db8:1:3::1") == 401
    assert [fail("::ffff:192.0.2.9"), fail("192.0.2.9"), fail("::ffff:192.0.2.9")] == [401, 401, 429]


def test_a_caller_without_an_address_is_counted_too(settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE = 2
    assert [fail(address) for address in ("", "unix:", "")] == [401, 401, 429]


def test_200_at_once_pass_no_more_than_30(phone: Device, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 30
    headers = phone.headers

    def send(number: int) -> int:
        try:
            return phone.get("me", **headers).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(200)))
    assert sorted(set(answers)) == [200, 429]
    assert answers.count(200) == 30


def test_requests_at_the_same_time_lose_nothing_that_was_counted_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two requests that find nothing counted ahead count a part of the limit each."""
    run, minute = attempts.run, timedelta(minutes=1)

    def overtaken(*arguments: object) -> object:
        monkeypatch.setattr(attempts, "run", run)
        assert attempts.count("overtaken", "alice", 100, minute, at_once=20) is None
        return run(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(attempts, "run", overtaken)
    waits = [attempts.count("overtaken", "alice", 100, minute, at_once=20) for _ in range(110)]
    # the hundredth is the one that overtook the first
    assert waits.index(next(wait for wait in waits if wait)) == 99


def test_what_was_counted_ahead_ends_with_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("accounts.attempts.time.monotonic", lambda: clock[0])
    answers = iter([[20, 60_000], [20, 60_000], [40, 60_000], [60, 60_000], [80, 60_000]])
    monkeypatch.setattr(attempts, "run", lambda *arguments: next(answers))
    count = partial(attempts.count, "ending", "alice", 60, timedelta(minutes=1), at_once=20)
    assert count() is None
    clock[0] += 61
    # 19 of the first part are left, but they were of the minute before
    assert [count() for _ in range(60)] == [None] * 60
    assert count() == timedelta(minutes=1)


def test_without_Redis_everybody_is_let_in(
    phone: Device, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_PER_MINUTE = settings.API_FAILURES_PER_MINUTE = 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(attempts, "_away_until", 0.0)
    assert [phone.get("me").status_code for _ in range(3)] == [200, 200, 200]
    assert phone.post("plays", play()).status_code == 200
    assert [fail() for _ in range(3)] == [401, 401, 401]


def test_a_Redis_that_is_away_is_asked_again_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_FAILURES_PER_MINUTE = 1
    asked = 0
    clock = [100.0]
    monkeypatch.setattr("accounts.attempts.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(attempts, "_away_until", 0.0)

    def broken(*arguments: object) -> None:
        nonlocal asked
        asked += 1
        raise redis.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(attempts, "count", broken)
        assert [fail() for _ in range(5)] == [401] * 5
    assert asked == 1
    assert [fail() for _ in range(2)] == [401, 401]
    clock[0] += attempts.PAUSE + 1
    assert [fail() for _ in range(2)] == [401, 429]


def test_0_is_no_limit(phone: Device, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 0
    assert {phone.get("me").status_code for _ in range(20)} == {200}
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert not list(client.scan_iter("balados:attempts:requests:*"))


def test_what_it_counts_names_nobody(phone: Device, settings: Settings) -> None:
    """Redis writes its keys to a file, which an erasure does not reach."""
    settings.API_REQUESTS_PER_MINUTE = 5
    phone.get("me")
    attempts.count("erase", str(phone.user_id), 5, timedelta(minutes=1))
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        keys = [key.decode() for key in client.scan_iter("balados:attempts:*")]
    assert len(keys) == 2
    assert not any(str(phone.user_id) in key for key in keys)


def test_what_it_counts_is_forgotten(phone: Device, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 5
    phone.get("me")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        (key,) = client.scan_iter("balados:attempts:*")
        assert 0 < client.pttl(key) <= 60_000


def test_of_a_large_limit_some_are_counted_at_once_and_never_too_many(
    phone: Device, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 110
    with patch.object(attempts, "run", wraps=attempts.run) as asked:
        assert [phone.get("me").status_code for _ in range(111)] == [200] * 110 + [429]
    assert asked.call_count == 55 + 1


def test_what_was_counted_at_once_lapses_with_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("accounts.attempts.time.monotonic", lambda: clock[0])
    counts = iter([(4, 60_000), (4, 60_000), (12, 30_000), (16, 30_000)])
    monkeypatch.setattr(attempts, "run", lambda *arguments: next(counts))

    def count() -> timedelta | None:
        return attempts.count("tries", "a new process", 10, timedelta(minutes=1), at_once=4)

    assert [count() for _ in range(2)] == [None, None]
    clock[0] += 60  # the two attempts that are left were counted in a window that has ended
    assert [count() for _ in range(4)] == [None] * 4
    # Redis has counted twelve attempts; two of the last four are within the limit of ten
    assert [count() for _ in range(2)] == [None, None]
    assert count() == timedelta(seconds=30)
    assert next(counts, None) is None
