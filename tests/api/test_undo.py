"""POST /events/{event_id}/undo and /undo: restoring the earlier state on every device."""

import uuid
from typing import Any

import pytest

from eventstore import log
from eventstore.log import RecordedEvent
from eventstore.reading import decoded
from tests.api.devices import Device, code_of, count_events, document, faults, feed, item, play, unharmed

LIST = "111a0000-0000-4000-8000-000000000000"


def newest(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = document(device.get("events?limit=1"))["events"][0]
    return found


def undo(device: Device, event_id: str, **headers: Any) -> Any:
    return device.send("POST", f"events/{event_id}/undo", **headers)


def test_an_unfollowed_podcast_is_followed_again_and_the_undo_says_what_it_undid(
    phone: Device, tablet: Device
) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed()})
    cursor = tablet.sync()["cursor"]
    phone.delete(f"subscriptions/{feed()}")
    event_id = newest(phone)["event_id"]
    before = count_events()
    preview = document(phone.post(f"events/{event_id}/undo", {"dry_run": True}))
    assert (preview["status"], count_events()) == ("dry_run", before)
    (change,) = preview["changes"]
    assert change["now"] == {"is_on": False}
    assert change["then"] == {"is_on": True, "rss_source_id": None}
    assert (change["topic"], change["rss_source_feed"]) == ("subscriptions", feed())
    assert change["words"] == "The podcast is followed."
    done = document(undo(phone, event_id))
    assert done == {**preview, "status": "success"}
    event = newest(phone)
    assert (event["type"], event["cause"], event["undoes"]) == ("UserSubscribed", "undo", [event_id])
    (entry,) = tablet.sync(cursor)["data"]["subscriptions"]
    assert entry["subscribed_at"] > entry["unsubscribed_at"]
    # the undo is undone as well
    assert undo(tablet, event["event_id"]).status_code == 200
    assert newest(phone)["type"] == "UserUnsubscribed"


def test_what_something_later_builds_on_is_refused_and_that_is_listed(phone: Device, tablet: Device) -> None:
    phone.post("plays", play(position=60))
    first = newest(phone)["event_id"]
    tablet.post("plays", play(position=90))
    second = newest(phone)["event_id"]
    with unharmed(phone):
        answer = undo(phone, first)
    assert answer.status_code == 422
    assert faults(answer) == {None: "later_changes", second: "later_changes"}
    assert "PlayRecorded" in document(answer)["errors"][1]["detail"]
    assert "tablet" in document(answer)["errors"][1]["detail"]


def test_what_cannot_be_undone_says_why(phone: Device, bobs: Device) -> None:
    phone.post(f"episodes/{item()}/share", {"rss_source_feed": feed()})
    assert code_of(undo(phone, newest(phone)["event_id"])) == "not_undoable"
    phone.post("subscriptions", {"rss_source_feed": feed()})
    phone.delete(f"subscriptions/{feed()}")
    left = newest(phone)["event_id"]
    phone.post("subscriptions", {"rss_source_feed": feed()})
    assert code_of(undo(phone, left)) == "nothing_to_undo"
    for other in (str(uuid.uuid4()), "x"):
        assert undo(phone, other).status_code in (400, 404)
    assert undo(bobs, left).status_code == 404
    phone.post("removals", {"feed": feed()})
    assert undo(phone, left).status_code == 404


def test_the_same_key_undoes_once(phone: Device) -> None:
    phone.post("plays", play())
    event_id = newest(phone)["event_id"]
    key = str(uuid.uuid4())
    first = undo(phone, event_id, Idempotency_Key=key)
    before = count_events()
    again = undo(phone, event_id, Idempotency_Key=key)
    assert (first.status_code, again.content, count_events()) == (200, first.content, before)


def test_a_devices_afternoon_is_undone_but_for_what_others_did_since(phone: Device, tablet: Device) -> None:
    tablet.post("subscriptions", {"rss_source_feed": feed()})
    tablet.post("plays", play(1, position=10))
    tablet.post("playlists", {"id": LIST, "name": "Mix"})
    for number in (1, 2, 3):
        tablet.post(f"playlists/{LIST}/items", {"rss_source_feed": feed(), "rss_source_item": item(number)})
    start = newest(tablet)["recorded_at"]
    before = tablet.sync()["data"]
    phone.delete(f"subscriptions/{feed()}")
    for position in (20, 30, 40):
        phone.post("plays", play(1, position=position))
        phone.post("plays", play(2, position=position))
    tablet.post("plays", play(2, position=99))
    kept = newest(tablet)["event_id"]
    phone.delete(f"playlists/{LIST}/items/{item(2)}")
    phone.patch(f"playlists/{LIST}", {"name": "Walk", "is_public": True})
    phone.delete(f"playlists/{LIST}")
    phone.put("privacy", {"privacy": "public"})
    body = {"device_id": "phone-1", "since": start}
    preview = document(phone.post("undo", {**body, "dry_run": True}))
    done = document(tablet.post("undo", body))
    assert preview == {**done, "status": "dry_run"}
    assert {one["later"][0]["event_id"] for one in done["skipped"]} == {kept}
    assert len(done["skipped"]) == 3
    after = tablet.sync()["data"]
    (subscription,) = after["subscriptions"]
    assert subscription["subscribed_at"] > subscription["unsubscribed_at"]
    assert {one["guid"]: one["position"] for one in after["play_statuses"]} == {
        "episode-1": 10,
        "episode-2": 99,
    }
    (mix,), (was,) = after["playlists"], before["playlists"]
    assert (mix["name"], mix["is_public"]) == ("Mix", False)
    assert mix["updated_at"] > mix["deleted_at"]
    assert [one["guid"] for one in mix["items"]] == [one["guid"] for one in was["items"]]
    assert [one["privacy"] for one in after["privacy_settings"]] == [None]
    assert code_of(tablet.post("undo", {**body, "since": newest(tablet)["recorded_at"]})) == "nothing_to_undo"


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, {"since", "device_id"}),
        ({"since": "x", "device_id": "a b", "dry_run": 3}, {"since", "device_id", "dry_run"}),
        ({"since": "2026-05-01T12:00:00Z"}, {"device_id"}),
        ({"since": "2026-05-01T12:00:00", "app_id": ""}, {"since"}),
    ],
)
def test_every_fault_of_a_body_is_named(phone: Device, body: dict[str, Any], places: set[str]) -> None:
    with unharmed(phone):
        answer = phone.post("undo", body)
    assert answer.status_code == 400
    assert set(faults(answer)) == places


def test_only_the_events_that_an_undo_depends_on_are_read_and_it_is_the_same(
    phone: Device, tablet: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other podcasts have episodes with the same items, which are other episodes."""
    tablet.post("playlists", {"id": LIST, "name": "Mix"})
    start = newest(tablet)["recorded_at"]
    for show in (1, 2, 3):
        for position in (30, 60):
            tablet.post("plays", play(position=position, rss_source_feed=feed(show)))
    phone.patch(f"playlists/{LIST}", {"name": "Walk"})
    phone.post("plays", play(position=90, rss_source_feed=feed(2)))
    tablet.post("plays", play(2, position=90, rss_source_feed=feed(3)))
    play_of_phone = document(phone.get("events?limit=2"))["events"][1]["event_id"]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("undo", {"device_id": "phone-1", "since": start, "dry_run": True}),
        (f"events/{play_of_phone}/undo", {"dry_run": True}),
    ]
    read: list[list[RecordedEvent]] = []
    read_relevant, read_stream = log.read_relevant, log.read_stream

    def spied(*args: Any) -> list[RecordedEvent]:
        read.append(read_relevant(*args))
        return read[-1]

    monkeypatch.setattr(log, "read_relevant", spied)
    part = [document(phone.post(*one)) for one in asked]
    feeds = [{getattr(decoded(row), "rss_source_feed", None) for row in rows} for rows in read]
    assert feeds == [{None, feed(2)}, {feed(2)}]
    monkeypatch.setattr(log, "read_relevant", lambda stream, after, upto, _: read_stream(stream, after, upto))
    assert [document(phone.post(*one)) for one in asked] == part
    assert [len(one["changes"]) for one in part] == [2, 1]
