"""Bad values are refused, each with its place, and leave nothing behind."""

import json
import time
from typing import Any

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
    status,
    unharmed,
)
from tests.apps import App
from tests.factories import UserFactory

WRITES = [
    ("POST", "subscriptions"),
    ("POST", "plays"),
    ("PUT", f"plays/{item()}/position"),
    ("POST", "sync"),
]


@pytest.fixture(scope="module")
def phone(shared_stores: None) -> Device:
    """Alice's phone, shared by all tests in this module, as refused requests leave nothing behind."""
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    return Device(alice.pk)


def shortened(value: Any) -> str:
    return ascii(value)[:40]


def with_number(number: bytes) -> bytes:
    return json.dumps(play(position="HERE")).encode().replace(b'"HERE"', number)


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_what_is_no_JSON_is_400(phone: Device, method: str, path: str) -> None:
    with unharmed(phone):
        for raw in hostile.NOT_JSON:
            answer = phone.send(method, path, raw)
            assert answer.status_code == 400, raw[:80]
            assert code_of(answer) in ("parse_error", "invalid"), raw[:80]


@pytest.mark.parametrize(("method", "path"), [call for call in WRITES if call[1] != "sync"])
def test_JSON_of_another_kind_is_400(phone: Device, method: str, path: str) -> None:
    with unharmed(phone):
        for raw in hostile.ODD_JSON:
            assert phone.send(method, path, raw).status_code == 400, raw[:80]


def test_a_sync_of_an_object_without_entries_is_empty(phone: Device) -> None:
    with unharmed(phone):
        for raw in hostile.ODD_JSON:
            expected = 200 if raw.lstrip().startswith(b"{") else 400
            assert phone.send("POST", "sync", raw).status_code == expected, raw[:80]


@pytest.mark.parametrize("number", hostile.BAD_NUMBERS, ids=shortened)
def test_numbers_that_are_none_are_400(phone: Device, number: bytes) -> None:
    with unharmed(phone):
        assert phone.send("POST", "plays", with_number(number)).status_code == 400


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5_000], ids=shortened)
def test_numbers_out_of_range_are_named(phone: Device, number: bytes) -> None:
    assert "position" in faults(phone.send("POST", "plays", with_number(number)))
    raw = b'{"play_statuses": [' + with_number(number) + b"]}"
    assert "play_statuses.0.position" in faults(phone.send("POST", "sync", raw))


@pytest.mark.parametrize("position", hostile.BAD_POSITIONS, ids=shortened)
def test_a_position_is_a_whole_number_of_seconds(phone: Device, position: object) -> None:
    with unharmed(phone):
        assert faults(phone.post("plays", play(position=position))) == {"position": "invalid"}
        answer = phone.put(f"plays/{item()}/position", {"position": position, "rss_source_feed": feed()})
        assert faults(answer) == {"position": "invalid"}
        answer = phone.post("sync", {"play_statuses": [status(), status(2, position=position)]})
        assert faults(answer) == {"play_statuses.1.position": "invalid"}


@pytest.mark.parametrize("position", [0, 1, 2**31 - 1])
def test_positions_reach_from_0_to_the_largest(phone: Device, position: int) -> None:
    answer = phone.post("plays", play(position=position))
    assert document(answer)["play_status"]["position"] == position


@pytest.mark.parametrize("played", [0, 1, "true", "", None, []])
def test_played_is_true_or_false(phone: Device, played: object) -> None:
    with unharmed(phone):
        assert faults(phone.post("plays", play(played=played))) == {"played": "invalid"}


@pytest.mark.parametrize("raw", hostile.BAD_CHARACTERS, ids=shortened)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_half_characters_and_U_0000_are_400(phone: Device, method: str, path: str, raw: bytes) -> None:
    """This also holds for fields that the API does not know."""
    good = {"subscriptions": {"rss_source_feed": feed()}, "plays": play(), "sync": {"cursor": None}}
    body = json.dumps(good.get(path, {"position": 1, "rss_source_feed": feed()})).encode()
    with unharmed(phone):
        assert phone.send(method, path, body[:-1] + b", " + raw[1:]).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "subscriptions/%00"),
        ("DELETE", f"subscriptions/{feed()}%00"),
        ("PUT", "plays/%00/position"),
        ("PUT", f"plays/{item()}%00/position"),
        ("GET", "plays?feed=%00"),
        ("GET", "plays?cursor=%00"),
        ("GET", "plays?updated_since=%00"),
        ("GET", "subscriptions?cursor=%00"),
        ("GET", "subscriptions?include=removed%00"),
    ],
)
def test_U_0000_in_an_address_is_400(phone: Device, method: str, path: str) -> None:
    with unharmed(phone):
        assert phone.send(method, path, b'{"position": 1}').status_code == 400


@pytest.mark.parametrize("at", hostile.BAD_TIMES, ids=shortened)
def test_times_are_RFC_3339_with_an_offset(phone: Device, at: str) -> None:
    with unharmed(phone):
        assert faults(phone.post("plays", play(played_at=at))) == {"played_at": "invalid"}
        answer = phone.post("subscriptions", {"rss_source_feed": feed(), "subscribed_at": at})
        assert faults(answer) == {"subscribed_at": "invalid"}
        answer = phone.post("sync", {"play_statuses": [status(updated_at=at)]})
        assert faults(answer) == {"play_statuses.0.updated_at": "invalid"}


@pytest.mark.parametrize("at", [0, 1700000000, 1.5, True, [], {}])
def test_times_are_text(phone: Device, at: object) -> None:
    with unharmed(phone):
        assert faults(phone.post("plays", play(played_at=at))) == {"played_at": "invalid"}


@pytest.mark.parametrize(("at", "stored"), hostile.GOOD_TIMES.items())
def test_times_come_back_in_UTC(phone: Device, at: str, stored: str) -> None:
    answer = phone.post("plays", play(rss_source_item=b64(f"{at},https://example.org/1.mp3"), played_at=at))
    assert document(answer)["play_status"]["updated_at"] == stored


@pytest.mark.parametrize("name", hostile.BAD_FEEDS, ids=shortened)
def test_a_feed_is_the_base64_of_its_URL(phone: Device, name: object) -> None:
    with unharmed(phone):
        assert faults(phone.post("plays", play(rss_source_feed=name))) == {"rss_source_feed": "invalid"}
        answer = phone.post("subscriptions", {"rss_source_feed": name})
        # null is treated like a missing field
        assert set(faults(answer)) == {"rss_source_feed"}


@pytest.mark.parametrize("name", hostile.BAD_ITEMS, ids=shortened)
def test_an_item_is_the_base64_of_guid_and_enclosure(phone: Device, name: object) -> None:
    code = "required" if name is None else "invalid"
    body = {**play(), "guid": None, "enclosure_url": None, "rss_source_item": name}
    with unharmed(phone):
        assert faults(phone.post("plays", body)) == {"rss_source_item": code}


@pytest.mark.parametrize("source_id", ["x" * 513, 7, True, [], {}])
def test_an_id_of_a_directory_is_a_short_text(phone: Device, source_id: object) -> None:
    with unharmed(phone):
        answer = phone.post("subscriptions", {"rss_source_feed": feed(), "rss_source_id": source_id})
        assert faults(answer) == {"rss_source_id": "invalid"}


def test_all_that_is_missing_is_named_at_once(phone: Device) -> None:
    with unharmed(phone):
        assert faults(phone.post("plays", {"position": -1, "played_at": "now"})) == {
            "rss_source_feed": "required",
            "rss_source_item": "required",
            "position": "invalid",
            "played": "required",
            "played_at": "invalid",
        }
        answer = phone.post("plays", {})
        assert set(faults(answer).values()) == {"required"}
        assert document(answer)["type"] == "validation_error"


def test_unknown_fields_are_ignored(phone: Device) -> None:
    answer = phone.post("plays", play(user_id=str(phone.user_id), episode={"title": [1, None, 1.5]}, x=1e300))
    assert answer.status_code == 200


def test_of_two_fields_of_one_name_the_last_counts(phone: Device) -> None:
    raw = json.dumps(play(position=1)).encode()[:-1] + b', "position": 2}'
    assert document(phone.send("POST", "plays", raw))["play_status"]["position"] == 2


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/jsonp",
        "application/json, text/plain",
        "application/merge-patch+json",
    ],
)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_other_kinds_of_bodies_are_415(phone: Device, method: str, path: str, kind: str) -> None:
    with unharmed(phone):
        answer = phone.send(method, path, json.dumps(play()).encode(), kind)
        assert (answer.status_code, code_of(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json;charset=UTF-8", 'APPLICATION/JSON; charset="utf-8"']
)
def test_JSON_in_UTF_8_may_say_so(phone: Device, kind: str) -> None:
    assert phone.send("POST", "plays", json.dumps(play()).encode(), kind).status_code == 200


def test_a_compressed_body_is_415(phone: Device) -> None:
    with unharmed(phone):
        assert phone.post("plays", play(), Content_Encoding="gzip").status_code == 415


def padded(size: int) -> bytes:
    """Return a valid play of exactly that many bytes."""
    raw = json.dumps(play()).encode()
    return raw + b" " * (size - len(raw))


@pytest.mark.parametrize(("size", "expected"), [(-1, 200), (0, 200), (1, 413)])
def test_a_body_has_256_KiB_at_most(phone: Device, size: int, expected: int) -> None:
    before = count_events()
    answer = phone.send("POST", "plays", padded(256 * 1024 + size))
    assert answer.status_code == expected
    if expected == 413:
        assert code_of(answer) == "too_large"
        assert "256 KiB" in document(answer)["errors"][0]["detail"]
        assert count_events() == before


@pytest.mark.parametrize(("size", "expected"), [(0, 200), (1, 413)])
def test_a_sync_has_16_MiB_at_most(phone: Device, size: int, expected: int) -> None:
    answer = phone.send("POST", "sync", b"{}" + b" " * (16 * 1024 * 1024 - 2 + size))
    assert answer.status_code == expected
    if expected == 413:
        assert "16 MiB" in document(answer)["errors"][0]["detail"]


def test_too_many_parameters_are_400(phone: Device) -> None:
    with unharmed(phone):
        answer = phone.get("plays?" + "&".join(["a=1"] * 1_500))
        assert (answer.status_code, code_of(answer)) == (400, "bad_request")
        assert phone.get("me?" + "&" * 3_000).status_code == 400
        assert phone.get("plays?" + "&".join(f"a[b][c][{n}]=1" for n in range(500))).status_code == 200


def test_a_long_address_is_414(phone: Device) -> None:
    with unharmed(phone):
        assert code_of(phone.get("plays?cursor=" + "a" * 9_000)) == "uri_too_long"
        assert phone.get("a" * 9_000).status_code == 414


@pytest.mark.parametrize("name", hostile.four_spellings(hostile.AWKWARD_FEED))
def test_every_spelling_of_a_feed_is_one_feed(phone: Device, name: str) -> None:
    answer = phone.post("subscriptions", {"rss_source_feed": name})
    shown = document(answer)["subscription"]
    assert shown["rss_source_feed"] == hostile.AWKWARD_FEED
    assert shown["feed_url"] == hostile.AWKWARD_URL


def test_hostile_bodies_are_refused_within_a_second(phone: Device) -> None:
    many = b'{"play_statuses": [' + b",".join([b"{}"] * 49_999) + b"]}"
    deep = b'{"x": ' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}"
    tiny = b'{"play_statuses": [' + b"1," * 8_000_000 + b"1]}"
    numbers = b'{"cursor": ' + b"9" * 16_000_000 + b"}"
    with unharmed(phone):
        for raw, expected in ((many, 400), (deep, 400), (tiny, 413), (numbers, 400)):
            start = time.process_time()
            assert phone.send("POST", "sync", raw).status_code == expected
            assert time.process_time() - start < 1
