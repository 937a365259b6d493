"""Paginated lists."""

import base64
from typing import Any

import pytest

from tests.api.devices import Device, document, faults, feed, item, play, status, unharmed
from tests.apps import App
from tests.factories import UserFactory
from tests.projecting import bring_up_to_date

LISTS = {"plays": ("play_statuses", "rss_source_item"), "subscriptions": ("subscriptions", "rss_source_feed")}
BOTH = pytest.mark.parametrize("path", LISTS)


@pytest.fixture(scope="module")
def phone(shared_stores: None) -> Device:
    """Alice's phone, shared by all tests in this module."""
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    return Device(alice.pk)


@pytest.fixture(scope="module")
def bobs(phone: Device) -> Device:
    bob = UserFactory.create(username="bob")
    App().grant(bob)
    return Device(bob.pk)


@pytest.fixture(scope="module")
def filled(phone: Device) -> Device:
    """The phone with 25 feeds and 25 episodes, several of which have the same time."""
    at = [f"2026-05-{1 + number // 4:02}T12:00:00Z" for number in range(25)]
    phone.sync(
        subscriptions=[{"rss_source_feed": feed(n), "subscribed_at": at[n]} for n in range(25)],
        play_statuses=[status(n, at[n]) for n in range(25)],
    )
    bring_up_to_date()
    return phone


def walk(device: Device, path: str, query: str = "") -> list[list[str]]:
    """Return the keys on each page."""
    name, key = LISTS[path]
    pages, cursor = [], ""
    while True:
        page = document(device.get(f"{path}?{query}&{cursor}"))
        pages.append([entry[key] for entry in page[name]])
        if page["next_cursor"] is None:
            return pages
        cursor = f"cursor={page['next_cursor']}"


@BOTH
@pytest.mark.parametrize(("limit", "pages"), [(1, 25), (7, 4), (25, 1), (24, 2), (1_000, 1)])
def test_pages_hold_everything_once(filled: Device, path: str, limit: int, pages: int) -> None:
    found = walk(filled, path, f"limit={limit}")
    assert len(found) == pages
    names = [name for page in found for name in page]
    assert names == walk(filled, path)[0]
    assert len(set(names)) == 25


@BOTH
@pytest.mark.parametrize(
    "limit",
    ["0", "-1", "1001", "", "x", "1.0", "1e2", "+1", " 1", "0x1", "1_0", "１２", "9" * 30, "9" * 5_000],
)
def test_a_limit_is_a_number_from_1_to_1000(phone: Device, path: str, limit: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(f"{path}?limit={limit.replace('+', '%2B')}")) == {"limit": "invalid"}


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CURSORS = [
    "",
    "x",
    "null",
    "é",
    "%00",
    "=",
    "AAAA",
    "_____w",
    "a" * 513,
    encoded("0"),
    encoded("'; DROP TABLE users"),
    encoded("2026-05-01T12:00:00 " + "0" * 32),
    encoded("2026-05-01T12:00:00+00:00 x"),
    encoded("2026-05-01T12:00:00+00:00 " + "0" * 32 + " x"),
    encoded("2026-05-01 " + "0" * 32),
    encoded("nan " + "0" * 32),
    encoded("\x00" * 16),
]


@BOTH
@pytest.mark.parametrize("cursor", CURSORS)
def test_what_is_no_cursor_is_400(phone: Device, path: str, cursor: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(f"{path}?cursor={cursor}")) == {"cursor": "invalid"}


@BOTH
@pytest.mark.parametrize(
    "cursor",
    [
        encoded("0" * 32),
        encoded("0001-01-01T00:00:00+23:59 " + "0" * 32),
        encoded("9999-12-31T23:59:59.999999-23:59 " + "f" * 32),
    ],
)
def test_a_made_up_cursor_shows_nothing_of_others(
    filled: Device, bobs: Device, path: str, cursor: str
) -> None:
    answer = bobs.get(f"{path}?cursor={cursor}")
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert document(answer)[LISTS[path][0]] == []


@BOTH
def test_a_cursor_of_alice_shows_bob_his_own(filled: Device, bobs: Device, path: str) -> None:
    cursor = document(filled.get(f"{path}?limit=3"))["next_cursor"]
    page: dict[str, Any] = document(bobs.get(f"{path}?cursor={cursor}"))
    assert page == {LISTS[path][0]: [], "next_cursor": None}


# this test is the last, because it adds to the lists
def test_a_walk_misses_nothing_while_rows_are_inserted(filled: Device) -> None:
    seen: list[str] = []
    cursor, number = "", 100
    while True:
        page = document(filled.get(f"plays?limit=4&{cursor}"))
        seen += [entry["rss_source_item"] for entry in page["play_statuses"]]
        if page["next_cursor"] is None:
            break
        cursor = f"cursor={page['next_cursor']}"
        if number < 105:
            # one row far behind the cursor, and one that moves ahead of it
            filled.sync(play_statuses=[status(number, "2026-04-01T00:00:00Z")])
            filled.post("plays", play(number - 100, position=99))
            bring_up_to_date()
            number += 1
    assert {item(n) for n in range(25)} <= set(seen)
    # a row that moved ahead is returned again in its new state; no other row is
    again = {name for name in seen if seen.count(name) > 1}
    assert again <= {item(n) for n in range(5)}
