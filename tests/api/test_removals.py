"""POST /removals: removing a feed or an episode from everything, for good."""

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from psycopg import Cursor

from accounts.models import User
from eventstore import dispatcher, log
from eventstore.domain.messages import INSTANCE
from jobs import retention
from projections import catch_up, deadletters
from projections.catch_up import apply_until
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.projectors.shape import Apply, Fact, Tables
from projections.rebuild import rebuild
from projections.worker import Worker
from tests.api.devices import Device, code_of, count_events, document, faults, feed, item, play
from tests.jobs.working import projectors_reach, read_models, run_projectors, run_worker
from tests.projecting import bring_up_to_date
from tests.searching import found

pytestmark = pytest.mark.usefixtures("stores")

WHEN = "2026-05-01T12:00:00Z"


def live(device: Device, name: str, items: tuple[str, ...]) -> None:
    """Create an entry of every kind with a feed."""
    device.put("privacy", {"privacy": "public"})
    device.sync(
        subscriptions=[{"rss_source_feed": name, "subscribed_at": WHEN}],
        play_statuses=[play(rss_source_feed=name, rss_source_item=one, updated_at=WHEN) for one in items],
        saved_episodes=[
            {"rss_source_feed": name, "rss_source_item": items[0], "saved_at": WHEN},
        ],
        playlists=[
            {
                "id": str(uuid.uuid4()),
                "name": "Walks",
                "updated_at": WHEN,
                "items": [
                    {"rss_source_feed": name, "rss_source_item": one, "position": place, "added_at": WHEN}
                    for place, one in enumerate(items)
                ],
            }
        ],
        collections=[
            {
                "id": str(uuid.uuid4()),
                "name": "News",
                "updated_at": WHEN,
                "feeds": [{"rss_source_feed": name, "position": 0, "added_at": WHEN}],
            }
        ],
        privacy_settings=[
            {"privacy": "public", "updated_at": WHEN, "rss_source_feed": name},
            {
                "privacy": "public",
                "updated_at": WHEN,
                "rss_source_feed": name,
                "rss_source_item": items[0],
            },
        ],
    )
    answer = device.post("plays", play(rss_source_feed=name), Idempotency_Key=str(uuid.uuid4()))
    assert answer.status_code == 200


def remove(device: Device, **body: Any) -> dict[str, Any]:
    answer = device.post("removals", body)
    assert answer.status_code == 200, answer.content
    return document(answer)


def test_a_removed_feed_is_found_nowhere_and_a_rebuild_does_not_bring_it_back(phone: Device) -> None:
    items = (item(1), item(2))
    live(phone, feed(1), items)
    run_projectors()
    retention.run(wait=projectors_reach)
    # so that a checkpoint contains the feed, too
    run_worker()
    live(phone, feed(1), items)
    run_projectors()
    assert found(feed(1)), "or the search finds nothing at all"
    assert remove(phone, feed=feed(1))["removed_events"] > 0
    run_projectors()
    retention.run(wait=projectors_reach)
    assert found(feed(1), *items) == []
    before = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == before
    assert found(feed(1), *items) == []


def test_dead_letters_of_what_is_gone_go_too(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter's error may name what was removed: PostgreSQL includes the row that failed."""
    phone.post("plays", play(1))
    name = "plays"
    with connect("projections") as connection, monkeypatch.context() as patched:
        patched.setattr(catch_up, "PAUSES", ())
        failing = dataclasses.replace(PROJECTORS[name], apply=fail_with(feed(1)))
        apply_until([Worker(failing, connection)], log.head())
        assert [letter.projector for letter in deadletters.letters(connection)] == [name]
        phone.post("plays", play(2, rss_source_feed=feed(2)))
        run_projectors()
        assert len(deadletters.letters(connection)) == 2, "the next one waits"
        remove(phone, feed=feed(1))
        run_projectors()
        retention.run(wait=projectors_reach)
        assert deadletters.letters(connection) == []
    assert found(feed(1)) == []
    listed = document(phone.get("plays"))["play_statuses"]
    assert [entry["rss_source_item"] for entry in listed] == [item(2)]


def fail_with(text: str) -> Apply:
    def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
        raise ValueError(f"no room for {text}")

    return apply


def test_what_is_left_stays_as_it_was(phone: Device) -> None:
    phone.post("plays", play(1))
    phone.post("plays", play(2, rss_source_feed=feed(2)))
    remove(phone, feed=feed(1))
    bring_up_to_date()
    listed = document(phone.get("plays"))["play_statuses"]
    assert [entry["rss_source_item"] for entry in listed] == [item(2)]


def test_an_episode_alone_may_go(phone: Device) -> None:
    for number in (1, 2):
        phone.post("plays", play(number))
    assert remove(phone, item=item(1)) == {"status": "success", "removed_events": 1}
    bring_up_to_date()
    listed = document(phone.get("plays"))["play_statuses"]
    assert [entry["rss_source_item"] for entry in listed] == [item(2)]
    assert remove(phone, item=item(1)) == {"status": "success", "removed_events": 0}


def test_another_listeners_history_is_not_touched(phone: Device, bobs: Device) -> None:
    for device in (phone, bobs):
        device.post("plays", play(1))
    before = log.read_stream(log.stream_of(bobs.user_id))
    remove(phone, feed=feed(1))
    assert log.read_stream(log.stream_of(bobs.user_id)) == before


def test_other_devices_are_told_everything_anew(phone: Device, tablet: Device) -> None:
    phone.post("plays", play(1))
    cursor = tablet.sync()["cursor"]
    remove(phone, feed=feed(1))
    answer = tablet.sync(cursor)
    assert answer["full"] is True
    assert answer["data"]["play_statuses"] == []


def test_a_process_that_kept_the_state_decides_on_what_is_left(phone: Device) -> None:
    """The web server has several processes, each of which caches folded streams."""
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    kept = dispatcher._streams
    dispatcher._streams = type(kept)()
    try:
        remove(phone, feed=feed(1))
    finally:
        dispatcher._streams = kept
    assert phone.post("subscriptions", {"rss_source_feed": feed(1)}).status_code == 201


def test_the_same_removal_twice_gives_the_first_answer(phone: Device) -> None:
    phone.post("plays", play(1))
    key = str(uuid.uuid4())
    first = phone.post("removals", {"feed": feed(1)}, Idempotency_Key=key)
    before = count_events()
    again = phone.post("removals", {"feed": feed(1)}, Idempotency_Key=key)
    assert document(again) == document(first) == {"status": "success", "removed_events": 1}
    assert count_events() == before
    other = phone.post("removals", {"feed": feed(2)}, Idempotency_Key=key)
    assert (other.status_code, code_of(other)) == (422, "idempotency_key_reused")


def test_the_read_that_follows_sees_it(phone: Device) -> None:
    phone.post("plays", play(1))
    answer = phone.post("removals", {"feed": feed(1)})
    head = bring_up_to_date()
    assert int(answer["Balados-Position"]) == head
    assert document(phone.get("plays", Balados_Position=str(head)))["play_statuses"] == []


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, {"feed": "required"}),
        ({"feed": None, "item": None}, {"feed": "required"}),
        ({"feed": "x", "item": "y"}, {"feed": "invalid", "item": "invalid"}),
        ({"feed": 1}, {"feed": "invalid"}),
    ],
)
def test_every_fault_is_named_and_nothing_removed(
    phone: Device, body: dict[str, Any], places: dict[str, str]
) -> None:
    phone.post("plays", play(1))
    before = count_events()
    answer = phone.post("removals", body)
    assert answer.status_code == 400
    assert faults(answer) == places
    assert count_events() == before


def test_a_token_with_a_jti_removes_once(alice: User, phone: Device) -> None:
    phone.post("plays", play(1))
    once = Device(alice.pk, jti="once")
    assert once.post("removals", {"feed": feed(1)}).status_code == 200
    assert once.post("removals", {"feed": feed(1)}).status_code == 401


def test_the_deletion_event_itself_goes_when_it_is_old(phone: Device) -> None:
    phone.post("plays", play(1))
    remove(phone, feed=feed(1))
    phone.post("plays", play(2, rss_source_feed=feed(2)))
    run_worker()
    types = {row.type for row in log.read_stream(log.stream_of(phone.user_id))}
    assert types == {"UserCheckpoint"}
    assert log.stream_of(INSTANCE)


@pytest.mark.parametrize("body", [{}, {"guid": ""}, {"guid": "", "enclosure_url": None}])
def test_who_names_nothing_removes_nothing(phone: Device, body: dict[str, str | None]) -> None:
    phone.post("plays", play(1))
    assert phone.post("removals", body).status_code == 400
    run_projectors()
    assert found(feed(1))
