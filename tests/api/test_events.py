"""The history: each event, when it happened and arrived, its app and device, and which parts still apply."""

from typing import Any

import pytest
from django.db import connections

from accounts import grants
from accounts.models import User
from tests.api.devices import Device, document, faults, feed, item, play, unharmed
from tests.apps import App
from tests.projections.histories import record_raw

MAY, JUNE = "2026-05-01T12:00:00Z", "2026-06-01T12:00:00Z"


def events(device: Device, query: str = "") -> list[dict[str, Any]]:
    answer = device.get("events" + query)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = document(answer)["events"]
    return found


def test_it_tells_what_happened_when_and_from_where(phone: Device) -> None:
    phone.post("plays", play(played_at=MAY))
    (event,) = events(phone)
    assert event.pop("recorded_at") > JUNE
    assert event.pop("event_id")
    assert event == {
        "version": 1,
        "type": "PlayRecorded",
        "happened_at": MAY,
        "claimed_at": None,
        "app_id": "org.example.castaway",
        "app_name": "Castaway",
        "device_id": "phone-1",
        "device_name": "Alice's phone",
        "cause": None,
        "undoes": [],
        "data": {
            "rss_source_feed": feed(),
            "rss_source_item": item(),
            "guid": "episode-1",
            "enclosure_url": "https://example.org/1.mp3",
            "position": 60,
            "played": False,
            "played_at": MAY,
        },
        "stands": True,
        "rule": "later_wins",
    }


def test_what_arrived_last_comes_first_whenever_it_happened(phone: Device, tablet: Device) -> None:
    phone.post("plays", play(position=600, played_at=JUNE))
    tablet.post("plays", play(position=30, played_at=MAY))
    late, early = events(phone)
    assert (late["version"], late["happened_at"], late["device_id"]) == (2, MAY, "tablet-1")
    assert (late["stands"], late["rule"]) == (False, "later_wins")
    assert (early["stands"], early["rule"]) == (True, "later_wins")


def test_what_a_wrong_clock_claimed_is_shown_beside_what_counts(phone: Device) -> None:
    phone.post("plays", play(played_at="2199-01-01T00:00:00Z"))
    (event,) = events(phone)
    assert event["claimed_at"] == "2199-01-01T00:00:00Z"
    assert event["happened_at"] < "2199"


def test_it_goes_back_page_by_page_while_new_things_happen(phone: Device) -> None:
    for number in range(1, 6):
        phone.post("plays", play(number))
    first = document(phone.get("events?limit=2"))
    phone.post("plays", play(6))
    second = document(phone.get(f"events?limit=2&cursor={first['next_cursor']}"))
    last = document(phone.get(f"events?limit=2&cursor={second['next_cursor']}"))
    assert [one["version"] for page in (first, second, last) for one in page["events"]] == [5, 4, 3, 2, 1]
    assert last["next_cursor"] is None


def test_a_full_last_page_has_no_next(phone: Device) -> None:
    phone.post("plays", play())
    assert document(phone.get("events?limit=1"))["next_cursor"] is None


def test_an_app_that_was_revoked_keeps_its_id_and_loses_its_name(phone: Device, alice: User) -> None:
    other = App("Other", "org.example.other")
    phone.post("plays", play())
    other.grant(alice)
    Device(phone.user_id, other).post("plays", play(2))
    grants.revoke(phone.user_id, "org.example.other")
    newest, _ = events(phone)
    assert (newest["app_id"], newest["app_name"]) == ("org.example.other", None)


def test_an_event_that_cannot_be_read_is_shown_as_it_is(phone: Device) -> None:
    phone.post("plays", play())
    record_raw(phone.user_id, "FromTheFuture", 1, '{"user_id": "x", "mood": "good"}')
    newest, first = events(phone)
    assert (newest["type"], newest["data"], newest["stands"]) == ("FromTheFuture", {"mood": "good"}, None)
    assert first["type"] == "PlayRecorded"
    assert first["stands"] is True, "what is known of the episode is kept beside the log"


def test_the_history_is_read_from_the_log_and_waits_for_no_read_model(phone: Device) -> None:
    answer = phone.post("plays", play())
    found = phone.get("events", Balados_Position=answer.headers["Balados-Position"])
    assert found.status_code == 200
    assert int(found.headers["Balados-Position"]) >= int(answer.headers["Balados-Position"])


@pytest.mark.parametrize("cursor", ["x", "MA", "LTE", "MS41", "OTk5OTk5OTk5OTk", "77yR", "!"])
def test_a_cursor_that_no_page_gave_is_400(phone: Device, cursor: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(f"events?cursor={cursor}")) == {"cursor": "invalid"}


def test_bad_parameters_are_named(phone: Device) -> None:
    with unharmed(phone):
        assert faults(phone.get("events?limit=1001&cursor=")) == {"limit": "invalid", "cursor": "invalid"}


def test_of_bob_nothing_is_shown(phone: Device, bobs: Device) -> None:
    bobs.post("plays", play())
    bobs.post("plays", play(2))
    cursor = document(bobs.get("events?limit=1"))["next_cursor"]
    assert events(phone) == []
    assert events(phone, f"?cursor={cursor}") == []


def test_old_events_that_are_gone_are_no_obstacle(phone: Device) -> None:
    for number in range(1, 5):
        phone.post("plays", play(number))
    with connections["events"].cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL balados.retention = 'on'")
        cursor.execute("DELETE FROM events.events WHERE version IN (1, 3)")
        cursor.execute("COMMIT")
    assert [one["version"] for one in events(phone)] == [4, 2]
