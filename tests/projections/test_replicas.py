"""Reads from real streaming replicas: what may be stale there, and what never is."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker
from pytest_django.fixtures import Settings

from accounts import erasure
from balados import databases
from balados.routers import StoreRouter
from projections import connect, queries, replicas
from projections.erasure import erase_history
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from tests.api.conftest import _without_limits_of_addresses, bobs, phone
from tests.api.devices import Device, document, feed, item, play
from tests.privacy.acts import everything_seen, seen
from tests.projecting import bring_up_to_date
from tests.projections.replicas import (
    POOL,
    Replica,
    Server,
    becomes,
    leave,
    make_primary,
    make_replica,
    projections_on,
    reading_from,
    words,
)
from tests.projections.running import eventually
from tests.web.people import Visitor

__all__ = ["_without_limits_of_addresses", "bobs", "phone"]

LIST = "c1f4ff29-4ab5-4a6f-8a5c-1f9b2f8fd8ac"


@pytest.fixture(scope="module")
def primary(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Server]:
    server = make_primary(tmp_path_factory.mktemp("primary"))
    with django_db_blocker.unblock(), projections_on(server):
        yield server
    server.stop()


@pytest.fixture(scope="module")
def followers(primary: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    found = [make_replica(tmp_path_factory.mktemp(f"replica-{number}"), primary) for number in (1, 2)]
    yield found
    for each in found:
        each.stop()


@pytest.fixture
def replica(followers: list[Replica], stores: None) -> Iterator[Replica]:
    """The only replica that is read from."""
    bring_up_to_date()
    followers[0].catch_up()
    with reading_from(followers[0]):
        becomes("ok")
        assert from_replica()
        yield followers[0]


@pytest.fixture
def both(followers: list[Replica], stores: None) -> Iterator[list[Replica]]:
    bring_up_to_date()
    for each in followers:
        each.catch_up()
    with reading_from(*followers):
        becomes("ok", "ok")
        yield followers


def plays(device: Device, **headers: str) -> int:
    page = device.get("plays", **headers)
    assert page.status_code == 200, page.content
    return len(document(page)["play_statuses"])


def from_replica(sleep: float = 0.0) -> bool:
    """Read as the product does; return whether a replica answered."""
    page = "SELECT pg_is_in_recovery(), pg_sleep(CASE WHEN pg_is_in_recovery() THEN %s ELSE 0 END)::text, 1"
    _, [(answered, *_)] = queries.fetch("plays", page, "1", [sleep])
    return bool(answered)


def who_answers() -> str:
    """The data directory of the server that answers."""
    _, [(directory, _)] = queries.fetch("plays", "SELECT current_setting('data_directory'), 1", "1", [])
    return str(directory)


# what a client sees


def test_without_a_position_a_read_may_be_a_little_old_and_says_so(phone: Device, replica: Replica) -> None:
    first = phone.post("plays", play(1))
    bring_up_to_date()
    with replica.held():
        phone.post("plays", play(2))
        bring_up_to_date()
        page = phone.get("plays")
        assert len(document(page)["play_statuses"]) == 1
        assert page.headers["Balados-Position"] == first.headers["Balados-Position"]
        assert replica.sessions() > 0
    replica.catch_up()
    assert plays(phone) == 2


def test_every_client_reads_its_own_writes_however_far_behind_the_replica_is(
    phone: Device, replica: Replica
) -> None:
    paths = {
        "subscriptions": "subscriptions",
        "plays": "play_statuses",
        "episodes/saved": "saved_episodes",
        "playlists": "playlists",
        f"playlists/{LIST}": "items",
        "privacy": "settings",
    }
    with replica.held():
        phone.post("subscriptions", {"rss_source_feed": feed()})
        phone.post("plays", play())
        phone.post(f"episodes/{item()}/save", {"rss_source_feed": feed()})
        phone.post("playlists", {"id": LIST, "name": "Mine"})
        entry = {"rss_source_feed": feed(), "rss_source_item": item()}
        phone.post(f"playlists/{LIST}/items", entry)
        written = phone.put("privacy", {"privacy": "anonymous"})
        bring_up_to_date()
        for path, name in paths.items():
            old = phone.get(path)
            assert old.status_code == 404 or document(old)[name] == []
            new = phone.get(path, Balados_Position=written.headers["Balados-Position"])
            assert len(document(new)[name]) == 1
            assert new.headers["Balados-Position"] == written.headers["Balados-Position"]


def test_a_replica_that_has_come_so_far_answers_who_sends_a_position(phone: Device, replica: Replica) -> None:
    written = phone.post("plays", play(1))
    bring_up_to_date()
    with replica.held():
        phone.post("plays", play(2))
        bring_up_to_date()
        assert plays(phone, Balados_Position=written.headers["Balados-Position"]) == 1


def test_a_page_for_people_is_read_from_the_replica(phone: Device, replica: Replica, alice: Any) -> None:
    with replica.held():
        phone.post("subscriptions", {"rss_source_feed": feed()})
        bring_up_to_date()
        assert b"example.org" not in Visitor(alice).get("/subscriptions").content
    replica.catch_up()
    assert b"example.org" in Visitor(alice).get("/subscriptions").content


def test_reads_are_shared_out(both: list[Replica]) -> None:
    assert {who_answers() for _ in range(4)} == {str(each.home / "postgres") for each in both}


# what nobody sees


def private(device: Device) -> None:
    assert device.put("privacy", {"privacy": "private"}).status_code == 200


def removed(device: Device) -> None:
    assert device.post("removals", {"feed": feed()}).status_code == 200


def erased(device: Device) -> None:
    erasure.begin(device.user_id, timezone.now())
    erasure.complete(device.user_id, erase_history)


@pytest.mark.parametrize("hide", [private, removed, erased])
def test_what_is_hidden_is_hidden_at_once_whatever_a_replica_still_has(
    phone: Device, bobs: Device, replica: Replica, hide: Callable[[Device], None]
) -> None:
    for device in (phone, bobs):
        device.put("privacy", {"privacy": "public"})
        device.post("plays", play())
    bring_up_to_date()
    with replica.held():
        assert [one["username"] for one in seen("timeline")["events"]] == ["bob", "alice"]
        hide(phone)
        if hide is not erased:  # erasing deletes the rows without a projector
            bring_up_to_date()
        shown = everything_seen()
        assert b"alice" not in b"".join(content for _, content in shown.values())
        assert seen(f"episode/{item()}/popularity")["plays"] == 1
        assert replica.one("SELECT count(*) FROM public.public_events WHERE user_id = %s", phone.user_id) == 1


# how the states of a replica change


def test_a_replica_too_far_behind_is_not_read_until_it_has_caught_up(
    phone: Device, replica: Replica, settings: Settings
) -> None:
    with replica.held():
        phone.post("plays", play())
        bring_up_to_date()
        assert plays(phone) == 0
        settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS = 0.0
        assert plays(phone) == 1
        [state] = replicas.states()
        assert (state.word, state.events) == ("behind", 1)
        assert state.seconds
    becomes("ok")
    assert from_replica()


def test_a_stopped_replica_costs_no_error_and_hardly_any_time_and_is_read_again_once_it_is_back(
    phone: Device, replica: Replica, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(replicas, "LEFT_OUT", 0.1)
    phone.post("plays", play())
    bring_up_to_date()
    assert plays(phone) == 1
    replica.stop()
    began = time.monotonic()
    assert [plays(phone) for _ in range(10)] == [1] * 10
    # the first of these reads waits half a second for the pool
    assert time.monotonic() - began < 3.0
    assert words() == ["unreachable"]
    ready = Visitor().get("/health/ready")
    assert (ready.status_code, ready.json()["replicas"]) == (200, {"1": "unreachable"})
    figures = Client().get("/metrics").content.decode()
    assert 'balados_replica_up{replica="1"} 0.0' in figures
    assert sum("left out" in line for line in caplog.messages) == 1
    replica.start()
    becomes("ok")
    assert from_replica()
    assert 'balados_replica_used{replica="1"} 1.0' in Client().get("/metrics").content.decode()


def test_where_one_of_two_is_away_the_other_is_read(both: list[Replica]) -> None:
    both[1].stop()
    assert [from_replica() for _ in range(4)].count(False) <= 1
    assert words() == ["ok", "unreachable"]
    assert all(from_replica() for _ in range(4))
    both[1].start()
    becomes("ok", "ok")


def test_without_the_primary_replicas_are_read_for_as_long_as_they_may_be_old(
    replica: Replica, primary: Server, settings: Settings
) -> None:
    primary.stop()
    try:
        assert from_replica()
        settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS = 0.0
        with pytest.raises(replicas.FAILURES):
            from_replica()
        assert words() == ["unknown"]
    finally:
        primary.start()
        leave("projections")
    becomes("ok")


def test_a_query_in_the_way_of_replication_is_repeated_on_the_primary(
    replica: Replica, primary: Server
) -> None:
    answers: list[bool] = []
    page = (
        "SELECT pg_is_in_recovery(), pg_sleep(CASE WHEN pg_is_in_recovery() THEN 30 ELSE 0 END)::text, 1"
        ' FROM (SELECT count(*) FROM "users"."play_statuses") counted'
    )

    def read() -> None:
        _, rows = queries.fetch("plays", page, "1", [])
        answers.extend(row[0] for row in rows)
        connections.close_all()

    reading = threading.Thread(target=read)
    reading.start()
    eventually(lambda: replica.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1)
    with psycopg.connect(primary.url) as swap:
        swap.execute("LOCK TABLE users.play_statuses IN ACCESS EXCLUSIVE MODE")
    primary.run("SELECT pg_logical_emit_message(true, 'tests', '')")
    reading.join(20)
    assert answers == [False]


def test_a_lock_whose_end_has_not_come_yet_keeps_nobody_waiting(
    phone: Device, replica: Replica, primary: Server
) -> None:
    with psycopg.connect(primary.url) as swap:
        swap.execute("LOCK TABLE users.play_statuses IN ACCESS EXCLUSIVE MODE")
        with replica.held():
            swap.rollback()
            began = time.monotonic()
            assert plays(phone) == 0
            assert time.monotonic() - began < 5.0
            assert not from_replica()


def test_tables_are_swapped_under_readers_of_a_replica(
    phone: Device, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "LEFT_OUT", 0.0)
    phone.put("privacy", {"privacy": "public"})
    for number in range(5):
        phone.post("plays", play(number))
    bring_up_to_date()
    replica.catch_up()
    stop = threading.Event()
    found: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            found.append((phone.get("plays").status_code, plays(phone)))
            found.append((Client().get("/api/v1/public/timeline").status_code, 5))
        connections.close_all()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    rebuilds = 0
    while rebuilds < 3 or (len(found) <= 50 and rebuilds < 100):  # enough for the readers to meet some
        rebuilds += 1
        rebuild([PROJECTORS["plays"], PROJECTORS["public_events"]])
        replica.catch_up()
    stop.set()
    for reader in readers:
        reader.join(20)
    assert set(found) == {(200, 5)}
    assert len(found) > 50
    assert from_replica()


def test_a_server_that_says_nothing_is_given_up(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_replica()
    monkeypatch.setattr(connect, "SILENCE", 0.2)
    began = time.monotonic()
    assert not from_replica(sleep=30)
    assert time.monotonic() - began < 10.0
    assert not from_replica()


# servers that are not replicas


def test_nobody_writes_or_migrates_there(replica: Replica) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connect.run('DELETE FROM "users"."play_statuses"', [], "projections_replica_1")
    assert not StoreRouter().allow_migrate("projections_replica_1", "projections")


def test_a_url_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(ImproperlyConfigured, match="is not of the form postgresql://") as refusal:
        databases.replicas(["postgresql://a@/b", "mysql://a:hidden@c/d"], pool=POOL)
    assert "hidden" not in str(refusal.value)


def test_without_replicas_nothing_is_asked_or_started(stores: None) -> None:
    assert replicas.states() == []
    assert "replica" not in Client().get("/metrics").content.decode()


# must be last, because afterwards the server is no longer a replica


def test_a_replica_that_became_a_primary_answers_nothing_that_is_too_old(
    phone: Device, both: list[Replica], settings: Settings
) -> None:
    both[1].run("SELECT pg_promote()")
    phone.post("plays", play())
    bring_up_to_date()
    both[0].catch_up()
    becomes("ok", "behind")
    settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS = 0.0
    assert [plays(phone) for _ in range(4)] == [1] * 4
