"""Saving, unsaving and sharing episodes."""

from typing import Any
from uuid import uuid4

import pytest

from eventstore import log
from tests.api import hostile
from tests.api.devices import (
    Device,
    code_of,
    count_events,
    document,
    faults,
    feed,
    in_path,
    item,
    play,
    unharmed,
)
from tests.projecting import bring_up_to_date

MAY, JUNE = "2026-05-01T12:00:00Z", "2026-06-01T12:00:00Z"


def save(device: Device, number: int = 1, query: str = "", **body: Any) -> Any:
    return device.post(f"episodes/{item(number)}/save{query}", {"rss_source_feed": feed()} | body)


def unsave(device: Device, number: int = 1, query: str = "") -> Any:
    return device.delete(f"episodes/{item(number)}/save{query}")


def share(device: Device, number: int = 1, **body: Any) -> Any:
    return device.post(f"episodes/{item(number)}/share", {"rss_source_feed": feed()} | body)


def listed(device: Device, query: str = "") -> list[dict[str, Any]]:
    bring_up_to_date()
    answer = device.get("episodes/saved" + query)
    assert answer.status_code == 200, answer.content
    entries: list[dict[str, Any]] = document(answer)["saved_episodes"]
    return entries


def types_of(device: Device) -> list[str]:
    return [row.type for row in log.read_stream(log.stream_of(device.user_id))]


def test_it_saves_an_episode(phone: Device) -> None:
    answer = save(phone, saved_at=MAY)
    assert answer.status_code == 200
    shown = {
        "rss_source_feed": feed(),
        "rss_source_item": item(),
        "guid": "episode-1",
        "enclosure_url": "https://example.org/1.mp3",
        "rss_feed_title": None,
        "rss_item_title": None,
        "cover": None,
        "saved": True,
        "saved_at": MAY,
        "unsaved_at": None,
    }
    assert document(answer) == {"status": "success", "saved_episode": shown}
    assert listed(phone) == [shown]


def test_saving_twice_records_once(phone: Device) -> None:
    first, second = save(phone), save(phone)
    assert document(first) == document(second)
    assert count_events() == 1


def test_it_unsaves_without_being_told_the_feed(phone: Device) -> None:
    save(phone, saved_at=MAY)
    answer = unsave(phone)
    assert answer.status_code == 200
    assert document(answer)["saved_episode"]["saved"] is False
    assert listed(phone) == []


def test_the_later_of_two_devices_decides(phone: Device, tablet: Device) -> None:
    save(phone, saved_at=JUNE)
    late = unsave(tablet, query=f"?unsaved_at={MAY}")
    assert (
        document(late)["saved_episode"] | {"saved": True, "saved_at": JUNE, "unsaved_at": MAY}
        == document(late)["saved_episode"]
    )
    assert len(listed(phone)) == 1


def test_unsaving_what_was_never_saved_changes_nothing(phone: Device) -> None:
    with unharmed(phone):
        answer = unsave(phone)
        assert document(answer) == {"status": "success", "saved_episode": None}


def test_unsaving_offline_what_nobody_knows_needs_the_feed(phone: Device) -> None:
    with unharmed(phone):
        answer = unsave(phone, query=f"?unsaved_at={MAY}")
        assert (answer.status_code, code_of(answer)) == (422, "feed_required")
    answer = unsave(phone, query=f"?unsaved_at={MAY}&feed={feed()}")
    assert document(answer)["saved_episode"]["unsaved_at"] == MAY


def test_the_feed_may_stand_in_the_query_and_there_may_be_no_body(phone: Device) -> None:
    for action in ("save", "share"):
        answer = phone.send("POST", f"episodes/{item()}/{action}?feed={in_path(feed())}")
        assert answer.status_code == 200, answer.content
        answer = phone.post(f"episodes/{item()}/{action}?feed={in_path(feed())}", {"rss_source_feed": feed()})
        assert answer.status_code == 200
    assert types_of(phone) == ["EpisodeSaved", "EpisodeShared", "EpisodeShared"]


@pytest.mark.parametrize("action", ["save", "share"])
def test_a_feed_that_is_missing_or_not_the_same_is_named(phone: Device, action: str) -> None:
    path = f"episodes/{item()}/{action}"
    with unharmed(phone):
        assert faults(phone.send("POST", path)) == {"rss_source_feed": "required"}
        assert faults(phone.post(path, {})) == {"rss_source_feed": "required"}
        assert faults(phone.post(f"{path}?feed={feed(2)}", {"rss_source_feed": feed()})) == {
            "feed": "invalid"
        }
        assert faults(phone.post(f"{path}?feed=x", {"rss_source_feed": feed()})) == {"feed": "invalid"}


def test_every_share_counts_and_its_repeat_does_not(phone: Device) -> None:
    key = str(uuid4())
    for _ in range(2):
        assert document(share(phone)) == {"status": "success"}
        answer = phone.post(f"episodes/{item()}/share", {"rss_source_feed": feed()}, Idempotency_Key=key)
        assert answer.status_code == 200
    assert types_of(phone) == ["EpisodeShared"] * 3
    assert listed(phone) == []


@pytest.mark.parametrize("name", ["x", "a/save", "%FF", "%zz"])
@pytest.mark.parametrize(("method", "action"), [("POST", "save"), ("DELETE", "save"), ("POST", "share")])
def test_a_path_that_is_no_episode_is_400(phone: Device, name: str, method: str, action: str) -> None:
    body = b'{"rss_source_feed": "%s"}' % feed().encode()
    with unharmed(phone):
        assert faults(phone.send(method, f"episodes/{name}/{action}", body)) == {"item": "invalid"}


@pytest.mark.parametrize("value", hostile.BAD_TIMES)
def test_a_time_that_is_none_is_named(phone: Device, value: str) -> None:
    with unharmed(phone):
        assert faults(save(phone, saved_at=value)) == {"saved_at": "invalid"}
        assert faults(share(phone, shared_at=value)) == {"shared_at": "invalid"}


@pytest.mark.parametrize("value", [one for one in hostile.BAD_FEEDS if one is not None])
def test_a_feed_that_is_none_is_named(phone: Device, value: object) -> None:
    with unharmed(phone):
        assert faults(save(phone, rss_source_feed=value)) == {"rss_source_feed": "invalid"}


@pytest.mark.parametrize("raw", [b"[]", b"null", b"{", b'{"x": "\\u0000"}'])
def test_a_body_that_is_no_object_is_400(phone: Device, raw: bytes) -> None:
    with unharmed(phone):
        for action in ("save", "share"):
            assert phone.send("POST", f"episodes/{item()}/{action}?feed={feed()}", raw).status_code == 400


def test_it_lists_by_feed_and_page_by_page_the_oldest_first(phone: Device) -> None:
    for number in range(1, 6):
        save(phone, number, saved_at=f"2026-05-0{6 - number}T12:00:00Z")
    save(phone, 6, rss_source_feed=hostile.AWKWARD_FEED)
    for name in hostile.four_spellings(hostile.AWKWARD_FEED):
        assert [one["guid"] for one in listed(phone, "?feed=" + in_path(name))] == ["episode-6"]
    seen: list[str] = []
    query = f"?feed={in_path(feed())}&limit=2"
    cursor = ""
    while True:
        answer = document(phone.get(f"episodes/saved{query}{cursor}"))
        seen += [one["guid"] for one in answer["saved_episodes"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == [f"episode-{number}" for number in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("query", "place"),
    [("feed=x", "feed"), ("limit=0", "limit"), ("cursor=x", "cursor"), ("limit=x", "limit")],
)
def test_bad_parameters_are_named(phone: Device, query: str, place: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(f"episodes/saved?{query}")) == {place: "invalid"}


def test_a_read_waits_for_what_the_caller_wrote(phone: Device, impatient: None) -> None:
    answer = save(phone)
    behind = phone.get("episodes/saved", Balados_Position=answer.headers["Balados-Position"])
    assert (behind.status_code, code_of(behind)) == (503, "behind")
    bring_up_to_date()
    reached = phone.get("episodes/saved", Balados_Position=answer.headers["Balados-Position"])
    assert len(document(reached)["saved_episodes"]) == 1


def test_who_and_when_are_kept_with_the_event(phone: Device) -> None:
    save(phone, saved_at=MAY)
    (row,) = log.read_stream(log.stream_of(phone.user_id))
    assert '"device_id": "phone-1"' in row.metadata
    assert '"occurred_at": "2026-05-01T12:00:00Z"' in row.metadata


def test_of_bob_nothing_is_shown_and_nothing_changed(phone: Device, bobs: Device) -> None:
    save(bobs)
    bobs.post("plays", play())
    unsave(phone)
    assert listed(phone) == []
    assert len(listed(bobs)) == 1
