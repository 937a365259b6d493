"""The metrics that Prometheus reads at /metrics, and that nobody else may read them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
import redis
from django.db import OperationalError, connections
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from accounts.models import User
from balados import metrics
from eventstore import counters, log
from eventstore.database import raw_connection
from eventstore.domain.messages import Origin
from feeds.room import room
from jobs import retention
from operations import stores
from projections import deadletters, lag
from projections.connect import connect
from projections.projectors import PROJECTORS
from tests.api.devices import Device, feed
from tests.apps import App
from tests.feeds.known import known_feed
from tests.projecting import bring_up_to_date
from tests.projections.histories import ALICE, BOB, played, record, subscribed
from tests.web.people import Response, Visitor, text_of

TOKEN = "for-prometheus-alone"


@pytest.fixture(autouse=True)
def _counters_from_zero(stores: None, settings: Settings) -> Iterator[None]:
    counters._counts.clear()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(counters.HASH, retention.LAST_RUN)
        yield
        client.delete(counters.HASH, retention.LAST_RUN)
    counters._counts.clear()


def ask(address: str = "127.0.0.1", **headers: Any) -> Response:
    return Visitor(REMOTE_ADDR=address).get("/metrics", **headers)


def figures() -> dict[tuple[str, ...], float]:
    """Return every sample by its name and the values of its labels, in the order of the labels' names."""
    found = ask()
    assert found.status_code == 200
    samples = [
        sample for family in text_string_to_metric_families(text_of(found)) for sample in family.samples
    ]
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for sample in samples
    }


def lags_of(found: dict[tuple[str, ...], float], name: str = "balados_projector_lag_events") -> set[float]:
    lags = {key[1]: value for key, value in found.items() if key[0] == name}
    assert set(lags) == set(PROJECTORS)
    return set(lags.values())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_it_answers_this_machine(address: str) -> None:
    assert ask(address).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.7", "2001:db8::1", "::2", "", "nonsense"])
def test_it_is_not_there_for_others(address: str) -> None:
    refused, unknown = ask(address), Visitor(REMOTE_ADDR=address).get("/no-such-page")
    assert (refused.status_code, refused.content) == (404, unknown.content)


def test_a_network_that_is_named_is_let_in(settings: Settings) -> None:
    settings.METRICS_NETWORKS = [ip_network("10.0.0.0/8")]
    assert ask("10.0.0.7").status_code == 200
    assert ask("127.0.0.1").status_code == 404


def test_behind_a_proxy_on_this_machine_nobody_is_local(settings: Settings) -> None:
    header = {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}
    assert ask(**header).status_code == 404
    settings.TRUSTED_PROXIES = 1
    assert ask(**header).status_code == 404
    assert ask(HTTP_X_FORWARDED_FOR="127.0.0.1, 192.0.2.1").status_code == 404
    assert ask().status_code == 200


def test_whoever_has_the_token_is_let_in(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    for scheme in ("Bearer", "bearer"):
        assert ask("192.0.2.1", HTTP_AUTHORIZATION=f"{scheme} {TOKEN}").status_code == 200
    for header in (f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ", "Bearer é", ""):
        assert ask("192.0.2.1", HTTP_AUTHORIZATION=header).status_code == 404


def test_no_token_is_the_token_where_none_is_set() -> None:
    assert ask("192.0.2.1", HTTP_AUTHORIZATION="Bearer ").status_code == 404


def test_it_is_for_reading_only() -> None:
    assert Visitor().send("/metrics", {}).status_code == 405


def test_the_lag_of_every_projector_is_told_in_events_and_seconds() -> None:
    record(subscribed(ALICE), subscribed(BOB), played(BOB))
    behind = figures()
    assert lags_of(behind) == {3}
    assert min(lags_of(behind, "balados_projector_lag_seconds")) > 0
    bring_up_to_date()
    current = figures()
    assert lags_of(current) == lags_of(current, "balados_projector_lag_seconds") == {0}
    assert current[("balados_log_position",)] == log.head()


def test_beyond_10_000_events_the_distance_stands_for_their_number() -> None:
    stream = log.stream_of(ALICE)
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
            " SELECT %s, number, 'UserSubscribed', 1, '{}', '{}' FROM generate_series(1, 10010) AS number",
            [stream],
        )
    (near, far, none) = log.lag([log.head() - 5, 0, log.head() + 7])
    assert (near[0], far[0], none) == (5, 10_010, (0, 0.0))


def test_dead_letters_are_counted_by_projector_failed_ones_and_those_behind() -> None:
    record(played(ALICE), played(ALICE), played(ALICE))
    events = log.read_all(0, 10)
    with connect("projections") as connection, connection.cursor() as cursor:
        deadletters.park(cursor, "plays", events[0], ValueError("no"), 1)
        deadletters.queue(cursor, "plays", events[1:])
    found = figures()
    assert found[("balados_dead_letters", "plays", "failed")] == 1
    assert found[("balados_dead_letters", "plays", "behind")] == 2
    assert found[("balados_dead_letters", "subscriptions", "failed")] == 0


def test_events_are_counted_by_type_and_lost_appends() -> None:
    record(subscribed(ALICE), played(ALICE), played(ALICE))
    record(played(BOB))
    assert log.append(log.stream_of(BOB), 0, [played(BOB)], Origin()) is None
    found = figures()
    assert found[("balados_events_recorded_total", "UserSubscribed")] == 1
    assert found[("balados_events_recorded_total", "PlayRecorded")] == 3
    assert found[("balados_append_conflicts_total",)] == 1


def test_requests_are_counted_by_route_and_no_label_has_what_was_asked_for(alice: User) -> None:
    app = App()
    app.grant(alice)
    phone = Device(alice.pk, app)
    secret = feed(77).replace("=", "")
    for _ in range(3):
        Visitor().get(f"/api/v1/subscriptions/{secret}", headers=app.bearer(alice.pk))
    Visitor().get(f"/no/{secret}?token={secret}")
    Visitor().generic("BREW", "/")
    Visitor().generic("X" * 30, "/")
    text = text_of(ask())
    assert secret not in text
    assert str(phone.user_id) not in text
    found = figures()
    ours = {key: value for key, value in found.items() if key[0] == "balados_requests_total"}
    route = next(key[2] for key in ours if "subscriptions" in key[2])
    assert route.startswith("/api/v1/subscriptions/")
    assert sum(value for key, value in ours.items() if key[2] == route) == 3
    assert ours[("balados_requests_total", "GET", "unknown", "404")] == 1
    assert ours[("balados_requests_total", "OTHER", "/", "403")] == 2
    assert found[("balados_request_seconds_count", "GET", route)] == 3
    assert found[("balados_request_seconds_bucket", "+Inf", "GET", route)] == 3
    assert 0 < found[("balados_request_seconds_sum", "GET", route)] < 10


def test_what_several_processes_count_is_added_up() -> None:
    for _ in range(3):  # each time as in a new process, whose counts start empty
        counters.count("append_conflicts")
        assert counters.publish()
        assert counters._counts == {}
    assert figures()[("balados_append_conflicts_total",)] == 3


def test_while_redis_is_away_counts_wait_and_the_rest_is_told(settings: Settings) -> None:
    url = settings.REDIS_URL
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    counters.count("append_conflicts")
    found = figures()
    assert found[("balados_store_up", "redis")] == 0
    assert found[("balados_store_up", "events")] == 1
    assert lags_of(found) == {0}
    settings.REDIS_URL = url
    found = figures()
    assert found[("balados_append_conflicts_total",)] == 1
    assert found[("balados_store_up", "redis")] == found[("balados_store_up", "system")] == 1


def test_how_the_refreshing_of_feeds_goes_is_told_and_no_address() -> None:
    now = timezone.now()
    known_feed("https://one.example/feed", next_at=now - timedelta(hours=1), failures=2, ok_at=None)
    known_feed("https://two.example/feed", next_at=None, host={"paused_until": now + timedelta(days=1)})
    counters.add(
        (("feeds_fetched", "not_found"), 3), (("feeds_delay", "1"), 2), (("feeds_delay_sum",), 200.0)
    )
    found = figures()
    states = {key[1]: value for key, value in found.items() if key[0] == "balados_feeds"}
    assert states == {"all": 2, "unwanted": 1, "unread": 1, "failing": 1, "due": 1, "paused": 1}
    assert 3_600 <= found[("balados_feeds_overdue_seconds",)] < 3_700
    assert found[("balados_feed_hosts_paused",)] == 1
    assert found[("balados_feeds_fetched_total", "not_found")] >= 3
    assert found[("balados_feeds_delay_seconds_bucket", "300")] >= 2
    assert ".example" not in ask().content.decode()


def test_how_much_of_bodies_is_in_memory_is_told() -> None:
    body = room.number()
    assert room.take(body, 5_000_000)
    assert figures()[("balados_feeds_bytes_in_flight",)] == 5_000_000
    room.give_back(body)
    assert figures()[("balados_feeds_bytes_in_flight",)] == 0


def test_a_store_that_is_away_takes_its_own_figures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[lag.DeadLetterCount]:
        raise OperationalError("connection to /var/run/secret refused")

    monkeypatch.setattr(metrics, "feed_figures", away)
    monkeypatch.setattr(lag, "dead_letter_counts", away)
    monkeypatch.setattr(lag, "lags", away)
    found = figures()
    assert found[("balados_store_up", "system")] == found[("balados_store_up", "projections")] == 0
    assert found[("balados_store_up", "events")] == 1
    assert ("balados_log_position",) in found


def test_a_store_whose_disk_is_full_is_not_up_and_tells_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    full = raw_connection("events")
    monkeypatch.setattr(stores, "has_room", lambda connection: connection is not full)
    found = figures()
    assert found[("balados_store_up", "events")] == 0
    assert found[("balados_store_up", "system")] == found[("balados_store_up", "projections")] == 1
    assert ("balados_log_position",) in found


def test_the_workers_last_run_is_told(settings: Settings) -> None:
    assert "balados_worker" not in {key[0] for key in figures()}
    started = datetime(2026, 5, 1, 12, tzinfo=UTC)
    last = retention.Run(started, started, users_checkpointed=3, seconds={"delete": 0.5}, passed=True)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set(retention.LAST_RUN, msgspec.json.encode(last))
        found = figures()
        assert found[("balados_worker", "users_checkpointed")] == 3
        assert found[("balados_worker", "passed")] == 1
        assert found[("balados_worker_step_seconds", "delete")] == 0.5
        assert found[("balados_worker_timestamp_seconds", "started_at")] == started.timestamp()
        client.set(retention.LAST_RUN, "{")
        assert "balados_worker" not in {key[0] for key in figures()}
