"""How far episodes were heard."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.api import hostile
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
    unharmed,
)
from tests.projecting import bring_up_to_date

AWKWARD_ITEM = b64("~>>>???/ü?,https://example.org/1.mp3")


def listed(device: Device, query: str = "") -> list[dict[str, Any]]:
    bring_up_to_date()
    answer = device.get("plays" + query)
    assert answer.status_code == 200, answer.content
    entries: list[dict[str, Any]] = document(answer)["play_statuses"]
    return entries


def positions(device: Device, query: str = "") -> list[int]:
    return [entry["position"] for entry in listed(device, query)]


def test_it_records_a_play(phone: Device) -> None:
    answer = phone.post("plays", play(played_at="2026-05-01T12:00:00Z"))
    assert answer.status_code == 200
    shown = {
        "rss_source_feed": feed(),
        "rss_source_item": item(),
        "guid": "episode-1",
        "enclosure_url": "https://example.org/1.mp3",
        "rss_feed_title": None,
        "rss_item_title": None,
        "cover": None,
        "position": 60,
        "played": False,
        "speed": None,
        "started": None,
        "total": None,
        "updated_at": "2026-05-01T12:00:00Z",
    }
    assert document(answer) == {"status": "success", "play_status": shown, "newer": None}
    assert listed(phone) == [shown]


def test_the_speed_is_kept_until_a_play_says_another_or_none(phone: Device) -> None:
    speeds = []
    for path, body in (
        ("plays", play(speed=1.5)),
        (f"plays/{item()}/position", {"position": 90}),
        (f"plays/{item()}/position", {"position": 95, "speed": 0.1}),
        ("plays", play(speed=10)),
        ("plays", play()),
    ):
        answer = phone.post(path, body) if path == "plays" else phone.put(path, body)
        speeds.append(document(answer)["play_status"]["speed"])
        assert listed(phone)[0]["speed"] == speeds[-1]
        (entry,) = phone.sync()["data"]["play_statuses"]
        assert entry["speed"] == speeds[-1]
    assert speeds == [1.5, 1.5, 0.1, 10, None]


@pytest.mark.parametrize("speed", [0.09, 10.1, -1, "fast", True])
def test_a_speed_that_none_plays_at_is_refused(phone: Device, speed: object) -> None:
    assert faults(phone.post("plays", play(speed=speed))) == {"speed": "invalid"}
    entry = play(updated_at="2026-05-01T12:00:00Z", speed=speed)
    assert faults(phone.post("sync", {"play_statuses": [entry]})) == {"play_statuses.0.speed": "invalid"}


def test_a_late_play_is_recorded_and_does_not_win(phone: Device, tablet: Device) -> None:
    phone.post("plays", play(position=600, played_at="2026-05-02T12:00:00Z"))
    late = tablet.post("plays", play(position=30, played_at="2026-05-01T12:00:00Z"))
    assert document(late)["play_status"]["position"] == 600
    assert count_events() == 2
    assert positions(phone) == [600]


def test_it_moves_the_position_and_keeps_played(phone: Device) -> None:
    phone.post("plays", play(played=True))
    answer = phone.put(f"plays/{item()}/position", {"position": 90})
    assert document(answer)["play_status"] | {"updated_at": 0} == {
        "rss_source_feed": feed(),
        "rss_source_item": item(),
        "guid": "episode-1",
        "enclosure_url": "https://example.org/1.mp3",
        "rss_feed_title": None,
        "rss_item_title": None,
        "cover": None,
        "position": 90,
        "played": True,
        "speed": None,
        "started": None,
        "total": None,
        "updated_at": 0,
    }


def test_the_position_of_an_unknown_episode_needs_its_feed(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.put(f"plays/{item()}/position", {"position": 90})
        assert (answer.status_code, code_of(answer)) == (422, "feed_required")
    answer = phone.put(f"plays/{item()}/position", {"position": 90, "rss_source_feed": feed()})
    assert document(answer)["play_status"]["rss_source_feed"] == feed()


def test_an_older_position_does_not_win(phone: Device) -> None:
    phone.post("plays", play(position=600, played_at="2026-05-02T12:00:00Z"))
    answer = phone.put(f"plays/{item()}/position", {"position": 5, "updated_at": "2026-05-01T12:00:00Z"})
    assert document(answer)["play_status"]["position"] == 600


@pytest.mark.parametrize("name", hostile.four_spellings(AWKWARD_ITEM))
@pytest.mark.parametrize("encoded", [False, True], ids=["as it is", "percent-encoded"])
def test_a_path_takes_every_spelling(phone: Device, name: str, encoded: bool) -> None:
    phone.post("plays", play(rss_source_item=AWKWARD_ITEM))
    answer = phone.put(f"plays/{quote(name, safe='') if encoded else name}/position", {"position": 7})
    assert answer.status_code == 200
    assert document(answer)["play_status"]["rss_source_item"] == AWKWARD_ITEM


@pytest.mark.parametrize("name", ["x", "a/position", b64("no enclosure"), "%FF", "%zz"])
def test_a_path_that_is_no_episode_is_400(phone: Device, name: str) -> None:
    with unharmed(phone):
        assert faults(phone.put(f"plays/{name}/position", {"position": 1})) == {"item": "invalid"}


def test_it_lists_by_feed_by_played_and_since(phone: Device) -> None:
    phone.post("plays", play(1, position=1, played_at="2026-05-01T12:00:00Z"))
    phone.post("plays", play(2, position=2, played_at="2026-05-02T12:00:00Z", played=True))
    phone.post(
        "plays", play(3, position=3, played_at="2026-05-03T12:00:00Z", rss_source_feed=hostile.AWKWARD_FEED)
    )
    assert positions(phone) == [1, 2, 3]
    assert positions(phone, "?played=true") == [2]
    assert positions(phone, "?played=False") == [1, 3]
    assert positions(phone, "?updated_since=2026-05-02T14:00:00%2B02:00") == [2, 3]
    # a "+" that was not percent-encoded
    assert positions(phone, "?updated_since=2026-05-02T14:00:00+02:00") == [2, 3]
    assert positions(phone, f"?feed={feed()}&played=false") == [1]
    for name in hostile.four_spellings(hostile.AWKWARD_FEED):
        assert positions(phone, "?feed=" + quote(name, safe="")) == [3]
        assert positions(phone, "?feed=" + name) == [3]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("feed=x", "feed"),
        ("feed=", "feed"),
        ("played=1", "played"),
        ("played=", "played"),
        ("played=null", "played"),
        ("updated_since=yesterday", "updated_since"),
        ("updated_since=1700000000", "updated_since"),
        ("updated_since=2026-05-01", "updated_since"),
        ("updated_since=9999-12-31T23:59:59-14:00", "updated_since"),
    ],
)
def test_bad_parameters_are_named(phone: Device, query: str, place: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(f"plays?{query}")) == {place: "invalid"}
        assert set(faults(phone.get(f"plays?{query}&limit=x"))) == {place, "limit"}


def test_of_bob_nothing_is_shown(phone: Device, bobs: Device) -> None:
    bobs.post("plays", play(position=7))
    assert listed(phone) == []
    assert positions(bobs) == [7]


def test_an_older_place_than_that_of_another_device_is_answered_with_it(
    phone: Device, tablet: Device
) -> None:
    late, early = "2026-05-01T12:00:00Z", "2026-05-01T11:00:00Z"
    phone.post("plays", play(position=1_390, played_at=late))
    expected = {"position": 1_390, "played": False, "updated_at": late, "device": "Alice's phone"}
    assert document(tablet.post("plays", play(position=60, played_at=early)))["newer"] == expected
    moved = tablet.put(f"plays/{item()}/position", {"position": 70, "updated_at": early})
    assert document(moved)["newer"] == expected
    assert document(phone.post("plays", play(position=80, played_at=early)))["newer"] is None, "its own"
    assert document(tablet.post("plays", play(position=90)))["newer"] is None, "the newest"
