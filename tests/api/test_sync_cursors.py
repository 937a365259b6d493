"""Cursors of the sync: a device's place in the history."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from eventstore import administration, dispatcher, log
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.messages import Origin
from tests.api.devices import Device, document, faults, feed, item, play, status, unharmed

EARLY, LATE = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"


FOLLOWED = {
    "rss_source_feed": feed(),
    "rss_source_id": None,
    "subscribed_at": EARLY,
    "unsubscribed_at": None,
}


def statuses(count: int) -> list[dict[str, Any]]:
    return [status(number, position=number) for number in range(count)]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "%", "é", "null", "AAAA", "a" * 513, "WzFd", "W10", "bnVsbA", "e30", 7, [], True],
)
def test_what_is_no_cursor_is_400(phone: Device, cursor: object) -> None:
    with unharmed(phone):
        answer = phone.post("sync", {"cursor": cursor, "play_statuses": [status()]})
        assert faults(answer) == {"cursor": "invalid"}


def test_the_cursor_of_another_is_400(phone: Device, bobs: Device) -> None:
    with unharmed(bobs):
        answer = bobs.post("sync", {"cursor": phone.sync()["cursor"], "play_statuses": [status()]})
        assert faults(answer) == {"cursor": "invalid"}


def test_a_cursor_ahead_of_the_server_gets_everything(phone: Device) -> None:
    """This happens after a restore from a backup."""
    phone.sync(play_statuses=statuses(3))
    cursor = phone.sync()["cursor"]
    with connections["events"].cursor() as cursors:
        cursors.execute("TRUNCATE events.events, events.snapshots")
    dispatcher.clear_cache()
    answer = phone.sync(cursor, play_statuses=[status(1)])
    assert answer["full"]
    assert answer["data"]["play_statuses"] == [status(1)]


@pytest.mark.parametrize("left", [None, []])
def test_a_cursor_of_which_the_log_has_no_memory_gets_everything(
    phone: Device, monkeypatch: pytest.MonkeyPatch, left: object
) -> None:
    cursor = phone.sync(play_statuses=statuses(3))["cursor"]
    phone.post("plays", play(5))
    monkeypatch.setattr("api.v1.sync.events_since", lambda *arguments: left)
    answer = phone.sync(cursor)
    assert answer["full"]
    assert len(answer["data"]["play_statuses"]) == 4


def test_a_cursor_whose_events_cannot_be_read_gets_everything(
    phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(user_id: object, version: int) -> None:
        raise dispatcher.StreamUnreadable("an event of tomorrow")

    cursor = phone.sync()["cursor"]
    phone.post("plays", play(5))
    monkeypatch.setattr("api.v1.sync.events_since", unreadable)
    assert phone.sync(cursor)["full"]


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "0f8fad5b-d9cb-469f-a165-70867728950e"}])
def test_a_sync_holds_its_own_and_what_another_process_wrote(phone: Device, key: dict[str, str]) -> None:
    cursor = phone.sync(play_statuses=[status(1)])["cursor"]
    phone.post("plays", play(2))
    dispatcher.clear_cache()
    answer = document(phone.post("sync", {"cursor": cursor, "play_statuses": [status(3)]}, **key))
    assert not answer["full"]
    assert [entry["rss_source_item"] for entry in answer["data"]["play_statuses"]] == [item(2), item(3)]
    assert phone.sync(answer["cursor"])["data"]["play_statuses"] == []


def test_it_gives_what_arrived_since_the_cursor_whatever_clocks_say(phone: Device, tablet: Device) -> None:
    phone.post("plays", play(1, played_at=LATE))
    cursor = tablet.sync()["cursor"]
    phone.sync(play_statuses=[status(2, "2020-01-01T00:00:00Z")], subscriptions=[FOLLOWED])
    answer = tablet.sync(cursor)
    assert not answer["full"]
    assert answer["data"]["subscriptions"] == [FOLLOWED]
    assert answer["data"]["play_statuses"] == [status(2, "2020-01-01T00:00:00Z")]
    again = tablet.sync(answer["cursor"])
    assert set(map(bool, again["data"].values())) == {False}
    assert again["cursor"] == answer["cursor"]


def test_what_a_checkpoint_has_left_out_is_told_by_giving_everything(phone: Device, tablet: Device) -> None:
    """A clock that is years behind unsaves an episode: from the first day that is too old to be kept."""
    saved = {"rss_source_feed": feed(), "rss_source_item": item(), "saved_at": "2020-01-01T00:00:00Z"}
    phone.sync(saved_episodes=[saved])
    cursor = tablet.sync()["cursor"]
    phone.sync(saved_episodes=[{**saved, "saved_at": None, "unsaved_at": "2020-01-02T00:00:00Z"}])
    now = datetime.now(UTC)
    take = TakeCheckpoint(user_id=phone.user_id, now=now, before=now - timedelta(days=45))
    dispatcher.dispatch(take, Origin())
    answer = tablet.sync(cursor)
    assert answer["full"]
    assert answer["data"]["saved_episodes"] == []
    assert not tablet.sync(answer["cursor"])["full"]


def test_a_cursor_of_before_a_restore_gets_everything_although_its_version_is_there_again(
    phone: Device, tablet: Device
) -> None:
    phone.sync(play_statuses=statuses(3))
    cursor = phone.sync()["cursor"]
    administration.begin_epoch(log.head())
    for number in (7, 8, 9):
        tablet.post("plays", play(number))
    answer = phone.sync(cursor)
    assert answer["full"]
    assert len(answer["data"]["play_statuses"]) == 6
    assert not phone.sync(answer["cursor"])["full"]
    administration.begin_epoch(log.head())
    assert phone.sync(answer["cursor"])["full"]


def test_cursors_from_before_logs_had_epochs_are_good_until_a_restore(phone: Device) -> None:
    cursor = phone.sync(play_statuses=statuses(2))["cursor"]
    version, owner, epoch = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    assert epoch == ""
    older = base64.urlsafe_b64encode(json.dumps([version, owner]).encode()).decode().rstrip("=")
    assert not phone.sync(older)["full"]
    administration.begin_epoch(log.head())
    assert phone.sync(older)["full"]


def test_nothing_between_two_syncs_is_missed(phone: Device, tablet: Device) -> None:
    cursor, seen = tablet.sync()["cursor"], []
    for number in range(60):
        phone.post("plays", play(number, played_at=EARLY))
        if number % 7 == 0:
            answer = tablet.sync(cursor)
            cursor = answer["cursor"]
            seen += [entry["rss_source_item"] for entry in answer["data"]["play_statuses"]]
    seen += [entry["rss_source_item"] for entry in tablet.sync(cursor)["data"]["play_statuses"]]
    assert seen == [item(number) for number in range(60)]
