"""The details of errors: whoever reads one knows what to send instead."""

import json
import re
from typing import Any

import pytest

from tests.api.devices import Device, document, feed, play

SECONDS = "The position in the episode, in whole seconds from its start. For example: 754"
A_TIME = "A date and time in RFC 3339, with a UTC offset. For example: 2026-05-01T12:00:00Z"
# names of Python's types, and the backticks around them in msgspec's messages
OF_PYTHON = re.compile(r"\b(str|int|bool|float|datetime|uuid)\b|`")


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("position", "ten", f"Expected an integer, got a string. {SECONDS}"),
        ("position", -1, f"Expected an integer >= 0. {SECONDS}"),
        ("played", "yes", "Expected true or false, got a string."),
        ("played_at", 1764400000, f"Expected a date and time, got an integer. {A_TIME}"),
        ("played_at", "2026-05-01T12:00:00", f"Expected a date and time with a timezone component. {A_TIME}"),
        ("rss_source_feed", "https://example.org/feed.xml", "Not valid base64. The feed's URL in base64"),
    ],
)
def test_a_detail_says_what_a_field_takes(phone: Device, field: str, value: object, detail: str) -> None:
    (error,) = document(phone.post("plays", play() | {field: value}))["errors"]
    assert (error["attr"], error["code"]) == (field, "invalid")
    assert error["detail"].startswith(detail)


def test_a_detail_lists_the_choices(phone: Device) -> None:
    (error,) = document(phone.put("privacy", {"privacy": "secret"}))["errors"]
    assert error["detail"].startswith(
        "Expected public or anonymous or private, got 'secret'. What others may"
    )


def test_a_detail_about_a_query_does_so_too(phone: Device) -> None:
    errors = document(phone.get("plays?played=maybe&limit=5000"))["errors"]
    assert {error["attr"]: error["detail"] for error in errors} == {
        "played": "Expected true or false, got a string. Either true or false.",
        "limit": "Expected an integer <= 1000. The maximum number of entries to return.",
    }


def test_entries_of_a_sync_do_so_too(phone: Device) -> None:
    sent = {"play_statuses": [play(position="ten", updated_at="2026-05-01T12:00:00Z")], "playlists": {}}
    errors = document(phone.post("sync", sent))["errors"]
    assert {error["attr"]: error["detail"] for error in errors} == {
        "play_statuses.0.position": f"Expected an integer, got a string. {SECONDS}",
        "playlists": "Expected an array, got an object.",
    }


@pytest.mark.parametrize("value", [None, True, 1.5, "text", [], {}, [[]], -1, 10**18, ""])
def test_no_detail_names_a_type_of_Python(phone: Device, value: object) -> None:
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("plays", dict.fromkeys(play() | {"speed": 1, "played_at": 1}, value)),
        ("sync", {"play_statuses": [dict.fromkeys(play() | {"updated_at": 1}, value)], "cursor": value}),
        ("playlists", dict.fromkeys(("id", "name", "description", "is_public"), value)),
        ("collections", {"name": value, "color": value}),
        ("tokens", {"name": value, "lists": value, "expires_at": value}),
        ("undo", {"since": value, "device_id": value, "dry_run": value}),
    ]
    for path, body in bodies:
        answer = phone.post(path, body)
        if answer.status_code < 400:
            continue
        for error in document(answer)["errors"]:
            assert not OF_PYTHON.search(error["detail"]), (path, json.dumps(body), error)
            assert error["detail"][0].isupper()


def test_an_address_that_is_left_out_is_told_in_a_sentence(phone: Device) -> None:
    bad = {"rss_source_feed": feed().replace("aHR0cHM", "ZnRwcHM"), "subscribed_at": "2026-05-01T12:00:00Z"}
    (refused,) = document(phone.post("sync", {"subscriptions": [bad]}))["refused"]
    assert refused["detail"] == "Not an absolute http or https URL."


@pytest.mark.parametrize("path", ["plays/", "podcasts"])
def test_an_address_that_does_not_exist_is_told_from_a_thing_that_does_not(phone: Device, path: str) -> None:
    (error,) = document(phone.get(path))["errors"]
    assert error["code"] == "not_found"
    assert "/api/schema/ lists those that there are" in error["detail"]
    (error,) = document(phone.get("playlists/queue"))["errors"]
    assert (error["code"], error["detail"]) == ("not_found", "Not found.")
