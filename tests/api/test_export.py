"""The export of everything of a listener as one document, and what importing it does."""

import json
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import PlayToken
from accounts.models import User as Account
from api.clock import now
from api.v1 import entries, export
from eventstore.dispatcher import dispatch
from eventstore.domain import sync
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.collections import default_id
from eventstore.domain.messages import Origin
from eventstore.domain.user import User
from tests.api.devices import (
    Device,
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
from tests.domain.scenarios import ALICE, NOON, synced
from tests.domain.test_every_topic import actions, payload
from tests.factories import PlayTokenFactory
from tests.projecting import bring_up_to_date

BOB = UUID("b0b00000-0000-4000-8000-000000000000")
MAY, JUNE = "2026-05-01T12:00:00Z", "2026-06-01T12:00:00Z"
MIX, GYM = str(uuid4()), str(uuid4())
LISTS = (
    "subscriptions",
    "play_statuses",
    "saved_episodes",
    "playlists",
    "collections",
    "privacy_settings",
)


def exported(device: Device) -> dict[str, Any]:
    bring_up_to_date()
    answer = device.get("export")
    assert answer.status_code == 200, answer.content
    return document(answer)


def imported(device: Device, what: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = device.post("import", what, **headers)
    assert answer.status_code == 200, answer.content
    return document(answer)


def empty(**lists: Any) -> dict[str, Any]:
    return {"format": "balados-export", "version": 1} | lists


def state(device: Device) -> dict[str, Any]:
    """Return what a new device gets, with the same name for every listener's default collection."""
    document: dict[str, Any] = json.loads(
        json.dumps(device.sync()["data"]).replace(str(default_id(device.user_id)), "default")
    )
    return {name: sorted(entries, key=json.dumps) for name, entries in document.items()}


def live_a_little(device: Device) -> None:
    """Record some of every topic, including what was taken back."""
    device.sync(
        subscriptions=[
            {"rss_source_feed": feed(1), "rss_source_id": "one", "subscribed_at": MAY},
            {"rss_source_feed": feed(2), "subscribed_at": MAY, "unsubscribed_at": JUNE},
        ],
        play_statuses=[status(number, position=number) for number in range(1, 4)],
        saved_episodes=[
            {"rss_source_feed": feed(), "rss_source_item": item(1), "saved_at": MAY},
            {"rss_source_feed": feed(), "rss_source_item": item(2), "saved_at": MAY, "unsaved_at": JUNE},
        ],
        devices=[{"device": "phone-1", "caption": "Phone", "registered_at": MAY}],
        episode_actions=[
            {"rss_source_feed": feed(), "rss_source_item": item(1), "action": "download", "acted_at": MAY}
        ],
        settings=[{"settings": '{"a":1}', "rss_source_feed": feed(), "updated_at": MAY}],
        held_removals=[{"rss_source_feed": feed(1), "device": "phone-1", "held_at": MAY}],
        playlists=[
            {
                "id": MIX,
                "name": "Mix",
                "updated_at": MAY,
                "items": [
                    {
                        "rss_source_feed": feed(),
                        "rss_source_item": item(n),
                        "added_at": MAY,
                        "position": 3 - n,
                    }
                    for n in (1, 2)
                ],
            },
            {"id": GYM, "name": "Gym", "updated_at": MAY, "deleted_at": JUNE},
        ],
        collections=[
            {
                "id": str(default_id(device.user_id)),
                "name": "Everything",
                "color": "#2f6f4e",
                "updated_at": JUNE,
            },
            {
                "id": MIX,
                "name": "News",
                "updated_at": MAY,
                "feeds": [{"rss_source_feed": feed(1), "added_at": MAY}],
            },
        ],
        privacy_settings=[
            {"privacy": "anonymous", "updated_at": MAY},
            {"privacy": "private", "updated_at": MAY, "rss_source_feed": feed(2)},
            {"privacy": None, "updated_at": JUNE, "rss_source_feed": feed(3)},
        ],
    )
    device.post(f"episodes/{item(3)}/share", {"rss_source_feed": feed()})


def test_it_is_complete_for_self(phone: Device, alice: Account) -> None:
    live_a_little(phone)
    PlayTokenFactory.create(user=alice)
    hidden = [uuid4(), uuid4()]
    Account.objects.filter(pk=alice.pk).update(hidden_podcasts=hidden)
    found = exported(phone)
    assert found["hidden_podcasts"] == [str(each) for each in hidden]
    assert (found["user_id"], found["username"], found["email"]) == (
        str(alice.pk),
        "alice",
        "alice@example.org",
    )
    data = phone.sync()["data"]
    assert {name: in_order(found[name]) for name in LISTS} == {name: in_order(data[name]) for name in LISTS}
    assert all(data.values())
    assert [app["app_id"] for app in found["apps"]] == ["org.example.castaway"]
    assert [token["name"] for token in found["play_tokens"]] == ["Kitchen radio"]
    assert [event["version"] for event in found["events"]] == list(range(1, count_events() + 1))
    assert {event["type"] for event in found["events"]} >= {"PlayRecorded", "EpisodeShared", "PrivacyChanged"}
    assert found["events"][0]["device_id"] == "phone-1"
    assert found["events"][0]["data"]["user_id"] == str(alice.pk)


def in_order(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=str)


def test_what_others_see_anonymously_is_marked(phone: Device) -> None:
    phone.put("privacy", {"privacy": "anonymous"})
    phone.put("privacy", {"privacy": "private", "feed": feed(2)})
    phone.post("plays", play(1))
    phone.post("plays", play(2, rss_source_feed=feed(2)))
    seen = {one["rss_source_item"]: (one["level"], one["shown"]) for one in exported(phone)["activity"]}
    assert seen == {item(1): ("anonymous", True), item(2): ("private", False)}


def test_it_holds_nothing_of_others_and_no_secret(phone: Device, bobs: Device, bob: Account) -> None:
    live_a_little(bobs)
    _, text = PlayToken.objects.issue(bob, "Bob's radio", now())
    App("Bob's app", "org.example.bobs").grant(bob)
    found = json.dumps(exported(phone))
    for secret in (str(bob.pk), "bob", "Bob", feed(1), "Everything", text):
        assert secret not in found
    theirs = json.dumps(exported(bobs))
    assert text not in theirs
    assert PlayToken.digest(text) not in theirs


def test_a_long_history_is_whole_and_in_order(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK", 2)
    for number in range(1, 6):
        phone.post("plays", play(number))
    assert [event["version"] for event in exported(phone)["events"]] == [1, 2, 3, 4, 5]


def test_the_history_can_be_left_out(phone: Device) -> None:
    live_a_little(phone)
    whole = exported(phone)
    without = document(phone.get("export?events=false"))
    assert without["events"] == []
    assert {name: without[name] for name in LISTS} == {name: whole[name] for name in LISTS}
    with unharmed(phone):
        assert faults(phone.get("export?events=maybe")) == {"events": "invalid"}


def test_a_checkpoint_is_told_in_numbers(phone: Device) -> None:
    """A checkpoint repeats what the lists have: three of them doubled an export of 80 MB to 160 MB."""
    live_a_little(phone)
    command = TakeCheckpoint(user_id=phone.user_id, now=now(), before=now())
    dispatch(command, Origin())
    last = exported(phone)["events"][-1]
    assert last["type"] == "UserCheckpoint"
    assert (last["data"]["plays"], last["data"]["playlists"]) == (3, 1)
    newest = document(phone.get("events?limit=1"))["events"][0]
    assert newest["data"] == last["data"]


def test_an_export_is_offered_as_a_file(phone: Device) -> None:
    bring_up_to_date()
    answer = phone.get("export")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="balados-export.json"'
    assert answer.headers["Content-Type"] == "application/json"


def test_it_waits_for_what_the_caller_wrote(phone: Device, impatient: None) -> None:
    written = phone.post("plays", play())
    behind = phone.get("export", Balados_Position=written.headers["Balados-Position"])
    assert (behind.status_code, code_of(behind)) == (503, "behind")


def test_a_new_account_ends_with_the_same_state(phone: Device, bobs: Device) -> None:
    live_a_little(phone)
    answer = imported(bobs, exported(phone))
    assert answer["conflicts"] == []
    assert answer["recorded"] > 0
    assert state(bobs) == state(phone)


def test_the_default_collection_of_another_account_becomes_the_own(phone: Device, bobs: Device) -> None:
    live_a_little(phone)
    imported(bobs, exported(phone))
    collections = {one["id"]: one for one in bobs.sync()["data"]["collections"]}
    mine = collections[str(default_id(bobs.user_id))]
    assert (mine["name"], mine["is_default"]) == ("Everything", True)
    assert str(default_id(phone.user_id)) not in collections


def test_the_queue_of_another_account_joins_the_own(phone: Device, bobs: Device) -> None:
    for device, number in ((phone, 1), (bobs, 2)):
        named = {"rss_source_feed": feed(), "rss_source_item": item(number)}
        assert device.post("playlists/queue/items", named).status_code == 201
    imported(bobs, exported(phone))
    bring_up_to_date()
    queue = document(bobs.get("playlists/queue"))
    assert queue["playlist"]["kind"] == "queue"
    assert {entry["rss_source_item"] for entry in queue["items"]} == {item(1), item(2)}
    assert len(document(bobs.get("playlists"))["playlists"]) == 1


def test_it_can_be_told_by_the_exported_account_alone(phone: Device, bobs: Device) -> None:
    other = UUID(int=7)
    entry = {"id": str(default_id(other)), "name": "Mine", "updated_at": MAY}
    imported(bobs, empty(user_id=str(other), collections=[entry]))
    ids = [one["id"] for one in bobs.sync()["data"]["collections"]]
    assert ids == [str(default_id(bobs.user_id))]


def test_the_same_document_twice_records_nothing_the_second_time(phone: Device, bobs: Device) -> None:
    live_a_little(phone)
    found = exported(phone)
    imported(bobs, found)
    before = count_events()
    again = imported(bobs, found)
    assert (again["recorded"], again["conflicts"]) == (0, [])
    assert imported(phone, found)["recorded"] == 0, "nor in the account that it is of"
    assert count_events() == before


def test_a_large_document_is_recorded_in_parts_to_the_same_state(
    phone: Device, bobs: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PART", 2)
    live_a_little(phone)
    answer = imported(bobs, exported(phone))
    assert answer["recorded"] > 0
    assert state(bobs) == state(phone)


@given(st.lists(actions, max_size=8), st.integers(1, 4))
def test_any_state_is_imported_to_the_same_however_it_is_cut(sent: list[Any], most: int) -> None:
    """This includes the default collection, sent before the first subscription, as that would create one."""
    alice, bob = User(ALICE), User(BOB)
    synced(alice, payload(sent))
    known = sync.to_entries(alice)
    lists = {name: getattr(known, name) for name in LISTS}
    body = export.ImportBody(format="balados-export", version=1, user_id=ALICE, **lists)
    for part in export.split(entries.command_of(export.with_own_lists(body, BOB), BOB, NOON), most):
        synced(bob, part)
    ours = msgspec.json.encode(known).replace(str(default_id(ALICE)).encode(), b"default")
    theirs = msgspec.json.encode(sync.to_entries(bob)).replace(str(default_id(BOB)).encode(), b"default")
    for name in LISTS:
        one, other = (sorted(json.loads(whole)[name], key=json.dumps) for whole in (ours, theirs))
        assert one == other, name


def test_a_repeat_under_the_same_key_gets_the_first_answer(
    phone: Device, bobs: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PART", 3)
    live_a_little(phone)
    found, key = exported(phone), str(uuid4())
    first = imported(bobs, found, Idempotency_Key=key)
    before = count_events()
    assert imported(bobs, found, Idempotency_Key=key) == first
    assert count_events() == before
    other = bobs.post("import", empty(), Idempotency_Key=key)
    assert (other.status_code, code_of(other)) == (422, "idempotency_key_reused")


def test_what_the_account_knows_better_stays_and_is_listed(phone: Device) -> None:
    phone.post("plays", play(position=600, played_at=JUNE))
    answer = imported(phone, empty(play_statuses=[status(position=30, at=MAY)]))
    assert answer["recorded"] == 0
    (conflict,) = answer["conflicts"]
    assert (conflict["type"], conflict["key"], conflict["rule"]) == ("play_status", item(), "later_wins")
    assert (conflict["client"]["position"], conflict["server"]["position"]) == (30, 600)


def test_what_an_older_part_lost_is_listed_too(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PART", 1)
    for number in (1, 2):
        phone.post("plays", play(number, position=600, played_at=JUNE))
    sent = [status(number, position=30, at=MAY) for number in (1, 2, 3)]
    answer = imported(phone, empty(play_statuses=sent))
    assert [conflict["key"] for conflict in answer["conflicts"]] == [item(1), item(2)]
    assert answer["recorded"] == 1


def test_an_empty_document_changes_nothing(phone: Device) -> None:
    with unharmed(phone):
        assert imported(phone, empty()) == {
            "status": "success",
            "recorded": 0,
            "conflicts": [],
            "refused": [],
        }


def test_every_fault_is_named_and_nothing_recorded(phone: Device) -> None:
    bad = {
        "format": "opml",
        "version": 2,
        "user_id": "alice",
        "subscriptions": [{"rss_source_feed": feed(), "subscribed_at": MAY}, {"rss_source_feed": "x"}],
        "play_statuses": [status(position=-1)],
        "playlists": [{"id": MIX, "name": " ", "updated_at": MAY, "items": [{"rss_source_feed": feed()}]}],
        "privacy_settings": {"privacy": "public"},
    }
    with unharmed(phone):
        assert faults(phone.post("import", bad)) == {
            "format": "invalid",
            "version": "invalid",
            "user_id": "invalid",
            "subscriptions.1.rss_source_feed": "invalid",
            "subscriptions.1.subscribed_at": "required",
            "play_statuses.0.position": "invalid",
            "playlists.0.items.0.added_at": "required",
            "playlists.0.name": "invalid",
            "playlists.0.items.0.rss_source_item": "required",
            "privacy_settings": "invalid",
        }
        assert faults(phone.post("import", {})) == {"format": "required", "version": "required"}


def test_faults_are_named_whatever_the_document_holds_beside(
    phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history of a million values is not examined more closely when an entry is bad than when none is."""
    monkeypatch.setattr("api.parsers.MOST_VALUES", 50)
    with unharmed(phone):
        answer = phone.post("import", empty(events=[[n, n] for n in range(100)], play_statuses=[{}]))
        assert answer.status_code == 400
        assert faults(answer)["play_statuses.0.position"] == "required"
        many = phone.post("import", empty(play_statuses=[status(), {}] * 30))
        assert (many.status_code, code_of(many)) == (413, "too_many_entries")


def test_too_many_entries_are_refused_with_the_limit(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    post: Any = export.ImportView.post
    monkeypatch.setattr(post, "operation", post.operation._replace(most_entries=2))
    with unharmed(phone):
        answer = phone.post("import", empty(play_statuses=[status(number) for number in range(1, 4)]))
        assert (answer.status_code, code_of(answer)) == (413, "too_many_entries")
        assert "At most 2 entries" in document(answer)["errors"][0]["detail"]


def test_more_than_an_ordinary_request_may_have_is_taken_and_more_than_128_MiB_not(phone: Device) -> None:
    padding = "x" * (17 * 2**20)
    assert imported(phone, empty(events=padding, play_statuses=[status()]))["recorded"] == 1
    with unharmed(phone):
        answer = phone.send("POST", "import", b" " * (128 * 2**20 + 1))
        assert answer.status_code == 413
        assert "128 MiB" in document(answer)["errors"][0]["detail"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"7", b'{"x": "\\ud800"}', b"[" * 100_000])
def test_what_is_no_document_is_400(phone: Device, raw: bytes) -> None:
    with unharmed(phone):
        assert phone.send("POST", "import", raw).status_code == 400
