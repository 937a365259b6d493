"""Held removals, as apps with a token see and settle them."""

from typing import Any

import pytest

from tests.api.devices import Device, document, feed
from tests.projecting import bring_up_to_date

AT = "2026-05-01T12:00:00Z"


def followed(device: Device) -> set[str]:
    bring_up_to_date()
    return {one["rss_source_feed"] for one in document(device.get("subscriptions"))["subscriptions"]}


def held(device: Device) -> list[Any]:
    bring_up_to_date()
    return list(document(device.get("held_removals"))["held_removals"])


@pytest.mark.parametrize("confirm", [True, False])
def test_the_listener_confirms_or_takes_back(phone: Device, tablet: Device, confirm: bool) -> None:
    feeds = [feed(1), feed(2)]
    for one in feeds:
        phone.post("subscriptions", {"rss_source_feed": one, "subscribed_at": "2026-04-01T12:00:00Z"})
    sent = [{"rss_source_feed": one, "device": "phone-1", "held_at": AT} for one in feeds]
    phone.post("sync", {"held_removals": sent})
    assert {one["rss_source_feed"] for one in held(tablet)} == set(feeds)
    assert followed(tablet) == set(feeds)
    answer = tablet.post("held_removals", {"feeds": feeds[:1], "confirm": confirm})
    assert answer.status_code == 200
    assert followed(tablet) == set(feeds[1:] if confirm else feeds)
    assert [one["rss_source_feed"] for one in held(tablet)] == feeds[1:]


def test_what_is_no_feed_is_refused_and_any_spelling_of_one_is_taken(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(1), "subscribed_at": "2026-04-01T12:00:00Z"})
    phone.post("sync", {"held_removals": [{"rss_source_feed": feed(1), "device": "phone-1", "held_at": AT}]})
    answer = phone.post("held_removals", {"feeds": [feed(1), "no feed"], "confirm": True})
    assert answer.status_code == 400
    assert [error["attr"] for error in document(answer)["errors"]] == ["feeds"]
    assert len(held(phone)) == 1
    assert phone.post("held_removals", {"feeds": [feed(1).rstrip("=")], "confirm": True}).status_code == 200
    assert held(phone) == []
    assert followed(phone) == set()
