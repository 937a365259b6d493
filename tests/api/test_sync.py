"""Two devices of one listener, kept in sync."""

import io
import json
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from django.db import connections

from api.v1 import entries
from eventstore import dispatcher, log
from tests.api.devices import (
    Device,
    b64,
    code_of,
    count_events,
    document,
    faults,
    feed,
    item,
    play,
    status,
    unharmed,
)
from tests.apps import App
from tests.projecting import bring_up_to_date

EARLY, LATE = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"


def subscription(number: int = 1, at: str | None = EARLY, until: str | None = None) -> dict[str, Any]:
    times = {"subscribed_at": at, "unsubscribed_at": until}
    return {"rss_source_feed": feed(number), "rss_source_id": None, **times}


def statuses(count: int) -> list[dict[str, Any]]:
    return [status(number, position=number) for number in range(count)]


def test_it_takes_what_a_device_knows_and_gives_what_it_lacks(phone: Device, tablet: Device) -> None:
    phone.post("plays", play(1, played_at=EARLY))
    answer = tablet.sync(subscriptions=[subscription()], play_statuses=[status(2, LATE)])
    assert answer["status"] == "success"
    assert answer["full"]
    assert answer["data"]["subscriptions"] == [subscription()]
    assert answer["data"]["play_statuses"] == [status(1, EARLY), status(2, LATE)]
    assert [entry["name"] for entry in answer["data"]["collections"]] == ["All Subscriptions"]
    assert answer["conflicts"] == []


def test_it_says_which_entries_lost_and_why(phone: Device, tablet: Device) -> None:
    phone.sync(play_statuses=[status(1, LATE, position=300)], subscriptions=[subscription(1, EARLY, LATE)])
    answer = tablet.sync(
        play_statuses=[status(1, EARLY), status(2, EARLY)], subscriptions=[subscription(1, EARLY, None)]
    )
    assert answer["conflicts"] == [
        {
            "type": "subscription",
            "key": feed(1),
            "client": subscription(1, EARLY, None),
            "server": subscription(1, EARLY, LATE),
            "winner": "server",
            "rule": "later_wins",
        },
        {
            "type": "play_status",
            "key": item(1),
            "client": status(1, EARLY),
            "server": status(1, LATE, position=300),
            "winner": "server",
            "rule": "later_wins",
        },
    ]


def test_the_answer_holds_what_was_just_written(phone: Device) -> None:
    phone.sync()
    phone.post("plays", play(position=7))
    assert phone.sync()["data"]["play_statuses"][0]["position"] == 7


def test_it_needs_the_scope_for_sync(alice: Any) -> None:
    App().grant(alice, ["user.plays", "user.subscriptions"])
    device = Device(alice.pk)
    with unharmed(device):
        assert device.post("sync", {"play_statuses": [status()]}).status_code == 403


def compact(lists: dict[str, Any]) -> bytes:
    return json.dumps(lists, separators=(",", ":")).encode()


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_it_takes_many_entries(phone: Device, count: int) -> None:
    answer = phone.sync(play_statuses=statuses(count))
    assert answer["data"]["play_statuses"] == statuses(count)
    assert count_events("PlayRecorded") == count


def test_it_takes_50_000_entries_and_no_more(phone: Device) -> None:
    raw = compact({"play_statuses": statuses(50_001)})
    assert len(raw) < 16 * 1024 * 1024
    with unharmed(phone):
        answer = phone.send("POST", "sync", raw)
        assert (answer.status_code, code_of(answer)) == (413, "too_many_entries")
        assert "50,000" in document(answer)["errors"][0]["detail"]
    lists = {"play_statuses": statuses(49_999), "subscriptions": [subscription()]}
    assert phone.send("POST", "sync", compact(lists)).status_code == 200
    assert count_events("PlayRecorded", "UserSubscribed") == 50_000


def test_of_too_many_bad_ones_too_it_names_the_limit(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.post("sync", {"play_statuses": [{}] * 40_000, "subscriptions": [{}] * 10_001})
        assert code_of(answer) == "too_many_entries"
        answer = phone.send("POST", "sync", b'{"subscriptions": [' + b"[]," * 5_000_000 + b"[]]}")
        assert code_of(answer) == "too_many_entries"


def test_memory_is_bounded(phone: Device) -> None:
    """16 MiB of small values are refused without creating objects of 50 times their size."""
    raw = b'{"subscriptions": [' + b"[" * 200 + b"1," * 499_000 + b"1" + b"]" * 200 + b"]}"
    tracemalloc.start()
    try:
        assert phone.send("POST", "sync", raw).status_code == 400
        assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_one_bad_entry_refuses_the_whole(phone: Device) -> None:
    entries = statuses(1_000)
    entries[17]["position"] = -1
    with unharmed(phone):
        answer = phone.post("sync", {"play_statuses": entries, "subscriptions": [subscription()]})
        assert answer.status_code == 400
        assert faults(answer) == {"play_statuses.17.position": "invalid"}


def test_every_fault_is_named_with_its_place(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.post(
            "sync",
            {
                "cursor": 7,
                "subscriptions": [subscription(), {"rss_source_feed": "x"}, "feed"],
                "play_statuses": [
                    status(),
                    status(rss_source_item=b64("no enclosure"), guid=None, enclosure_url=None, position=True),
                    {"rss_source_feed": feed(), "updated_at": "2026-05-01T12:00:00"},
                    None,
                ],
            },
        )
        assert faults(answer) == {
            "cursor": "invalid",
            "subscriptions.1.rss_source_feed": "invalid",
            "subscriptions.1.subscribed_at": "required",
            "subscriptions.2": "invalid",
            "play_statuses.1.rss_source_item": "invalid",
            "play_statuses.1.position": "invalid",
            "play_statuses.2.rss_source_item": "required",
            "play_statuses.2.position": "required",
            "play_statuses.2.played": "required",
            "play_statuses.2.updated_at": "invalid",
            "play_statuses.3": "invalid",
        }


def test_of_thousands_the_first_1000_are_listed(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.post("sync", {"play_statuses": [status(position=-1)] * 3_000})
        listed = document(answer)["errors"]
        assert len(listed) == 1_001
        assert listed[999]["attr"] == "play_statuses.999.position"
        assert listed[1_000]["code"] == "too_many_faults"


@pytest.mark.parametrize("name", ["subscriptions", "play_statuses"])
@pytest.mark.parametrize("value", [None, {}, "x", 7, True])
def test_lists_are_lists(phone: Device, name: str, value: object) -> None:
    with unharmed(phone):
        assert faults(phone.post("sync", {name: value})) == {name: "invalid"}


def test_the_order_within_a_payload_does_not_matter(phone: Device) -> None:
    plays = [status(1, at, position=p) for at in (EARLY, LATE) for p in (5, 60, 60, 7)]
    follows = [subscription(1, EARLY), subscription(1, LATE), subscription(1, None, EARLY)]
    shuffled, outcomes = random.Random(7), set()
    for number in range(100):
        shuffled.shuffle(plays)
        shuffled.shuffle(follows)
        # each case has an episode and a feed of its own, so that one listener serves for all
        sent = [{**entry, "rss_source_item": item(number)} for entry in plays]
        asked = [{**entry, "rss_source_feed": feed(number)} for entry in follows]
        cursor = phone.sync()["cursor"]
        data = phone.sync(cursor, play_statuses=sent, subscriptions=asked)["data"]
        for entry in (*data["play_statuses"], *data["subscriptions"]):
            outcomes.add(json.dumps({**entry, "rss_source_item": 0, "rss_source_feed": 0}, sort_keys=True))
    assert len(outcomes) == 2


def test_the_same_twice_records_nothing_the_second_time(phone: Device) -> None:
    plays, follows = statuses(50), [subscription(), subscription(2, EARLY, LATE)]
    first = phone.sync(play_statuses=plays, subscriptions=follows)
    before = count_events()
    again = phone.sync(play_statuses=plays, subscriptions=follows)
    assert in_one_order(again) == in_one_order(first)
    assert count_events() == before


def in_one_order(answer: dict[str, Any]) -> dict[str, Any]:
    data = {name: sorted(entries, key=json.dumps) for name, entries in answer["data"].items()}
    return {**answer, "data": data}


def test_two_devices_at_once_end_with_the_same(phone: Device, tablet: Device) -> None:
    def round_of(device: Device, number: int) -> int:
        try:
            # forget cached state, so that the two devices meet in the store, as two processes do
            dispatcher.clear_cache()
            name = feed(len(device.claims["device_id"]))
            entry = status(number % 7, LATE, position=number, rss_source_feed=name)
            return device.post("sync", {"play_statuses": [entry, status(100 + number)]}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        rounds = [pool.submit(round_of, device, number) for number in range(50) for device in (phone, tablet)]
        assert {done.result() for done in rounds} == {200}
    dispatcher.clear_cache()
    assert phone.sync()["data"] == tablet.sync()["data"]
    data = phone.sync()["data"]["play_statuses"]
    furthest = {entry["rss_source_item"]: entry["position"] for entry in data}
    assert [furthest[item(number)] for number in range(7)] == [49, 43, 44, 45, 46, 47, 48]


def test_a_device_a_year_ahead_does_not_win_for_ever(phone: Device, tablet: Device) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=365)).isoformat()
    entry = phone.sync(play_statuses=[status(1, ahead, position=5)])["data"]["play_statuses"][0]
    assert entry["updated_at"] < (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    tablet.post("plays", play(1, position=600))
    # the phone sends the same again, as devices do
    again = phone.sync(play_statuses=[status(1, ahead, position=5)])
    assert again["data"]["play_statuses"][0]["position"] == 600


def test_rebuilding_after_a_sync_changes_nothing(phone: Device) -> None:
    phone.sync(play_statuses=statuses(30), subscriptions=[subscription(), subscription(2, EARLY, LATE)])
    phone.sync(play_statuses=[status(3, LATE, position=1)])
    bring_up_to_date()
    pages = ("plays", "subscriptions?include=removed")
    before = [phone.get(page).content for page in pages]
    call_command("rebuild_projections", stdout=io.StringIO())
    assert [phone.get(page).content for page in pages] == before


def test_on_equal_times_it_is_subscribed(phone: Device) -> None:
    phone.sync(subscriptions=[subscription(1, EARLY, EARLY)])
    bring_up_to_date()
    assert len(document(phone.get("subscriptions"))["subscriptions"]) == 1


def test_what_was_only_left_is_not_subscribed(phone: Device) -> None:
    answer = phone.sync(subscriptions=[subscription(1, None, EARLY)])
    assert answer["data"]["subscriptions"] == [subscription(1, None, EARLY)]
    bring_up_to_date()
    assert document(phone.get("subscriptions"))["subscriptions"] == []


def test_an_entry_without_a_time_says_nothing(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.post("sync", {"subscriptions": [subscription(1, None, None)]})
        assert faults(answer) == {"subscriptions.0.subscribed_at": "required"}


def test_played_at_the_start_is_played(phone: Device) -> None:
    entry = status(1, EARLY, position=0, played=True)
    assert phone.sync(play_statuses=[entry])["data"]["play_statuses"] == [entry]


def test_on_equal_times_the_further_position_stands(phone: Device, tablet: Device) -> None:
    phone.sync(play_statuses=[status(1, EARLY, position=300)])
    answer = tablet.sync(play_statuses=[status(1, EARLY, position=20)])
    assert answer["data"]["play_statuses"][0]["position"] == 300
    assert answer["conflicts"][0]["rule"] == "further_position_wins_a_tie"


def test_lists_of_later_versions_are_ignored(phone: Device) -> None:
    answer = phone.post("sync", {"chapters": [{"id": 1}], "moods": None, "play_statuses": [status()]})
    assert answer.status_code == 200
    assert count_events() == 1


def test_its_answer_carries_a_position(phone: Device) -> None:
    answer = phone.post("sync", {"play_statuses": statuses(3)})
    assert answer.headers["Balados-Position"] == str(log.head()) == "3"
    bring_up_to_date()
    assert phone.get("plays", Balados_Position="3").status_code == 200


def test_a_field_of_a_topic_without_bounds_is_refused_at_the_start() -> None:
    class LetterEntry(msgspec.Struct, frozen=True):
        rss_source_feed: str
        text: str
        updated_at: datetime

    with pytest.raises(TypeError, match="text: say in KINDS what it may hold"):
        entries._sent(LetterEntry, "SentLetter")
