"""Episode actions: accepted one by one, and returned in the order of arrival."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db.models import F
from django.utils import timezone

from accounts import app_login
from accounts.app_models import SyncMark
from accounts.models import User
from eventstore.dispatcher import dispatch, state_of
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.identifiers import parts_of_item
from eventstore.domain.messages import Origin
from eventstore.domain.removal import RemoveEvents
from eventstore.removal import remove
from tests.api.devices import Device
from tests.apps import App
from tests.feeds.known import known_episode, known_feed
from tests.gpodder.apps import PodcastApp, content_of, feed_url, play
from tests.gpodder.conftest import password_of
from tests.jobs.working import run_worker

EPISODES = "/api/2/episodes/alice.json"


def without(action: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in action.items() if name not in names}


def positions(answer: dict[str, Any]) -> list[int]:
    return [action["position"] for action in answer["actions"]]


def test_what_one_app_uploads_another_is_told_as_it_was(phone: PodcastApp, desk: PodcastApp) -> None:
    since = desk.actions()["timestamp"]
    sent = [
        play(1, device="phone"),
        without(play(2, action="download"), "started", "position", "total"),
        without(play(2, action="DELETE", at="2026-05-02T12:00:00Z", position=-1), "started", "total", "guid"),
    ]
    assert phone.upload(*sent)["update_urls"] == []
    received = desk.actions(since)["actions"]
    assert received[0] == sent[0]
    assert received[1] == sent[1]
    assert (received[2]["action"], received[2]["timestamp"]) == ("delete", "2026-05-02T12:00:00")
    assert received[2]["guid"] == sent[1]["guid"]
    assert desk.actions(desk.actions(since)["timestamp"])["actions"] == []


def test_a_late_play_is_told_and_after_it_the_play_that_counts(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    phone.upload(play(1, position=500))
    # other actions say nothing about how far the episode was heard
    for action in ("download", "new", "delete"):
        phone.upload(play(1, action=action, at="2026-06-01T12:00:00", position=3))
    since = desk.actions()["timestamp"]
    phone.upload(play(1, position=7, at="2019-05-01T12:00:00"))
    assert positions(desk.actions(since)) == [7, 500]
    (status,) = state_of(alice.pk).user.plays.values()
    assert status.position == 500


def test_a_bad_item_stops_no_other_and_what_comes_again_records_nothing(
    phone: PodcastApp, alice: User
) -> None:
    bad = [
        17,
        None,
        {},
        play(3, action="dance"),
        play(3, at="yesterday"),
        play(3, position=1e300),
        play(3, position=2**40),
        play(3, position=True),
        play(3, position="12x"),
        play(3, guid="a\0b"),
        play(3, guid="a\ud800b"),
        play(3, guid="x" * 2_049),
        play(3, episode="https://example.org/" + "x" * 5_000),
        play(3, podcast="javascript:1"),
        play(3, episode=7),
    ]
    good = [play(number) for number in range(10, 27)]
    answer = phone.upload(*good, *bad)
    assert [one["index"] for one in answer["skipped"]] == list(range(17, 17 + len(bad)))
    assert all(one["reason"] for one in answer["skipped"])
    before = state_of(alice.pk).version
    assert len(state_of(alice.pk).user.plays) == 17
    phone.upload(*good, *bad)
    phone.upload(*bad)
    assert state_of(alice.pk).version == before


def test_numbers_and_times_in_every_spelling(phone: PodcastApp, desk: PodcastApp) -> None:
    since = desk.actions()["timestamp"]
    phone.upload(
        play(1, position="12", started=-1, total=None),
        play(2, at="2026-05-01T14:00:00.75+02:00"),
        play(3, at=1_777_636_800),
        without(play(4), "timestamp"),
        play(5, at="9998-01-01T00:00:00"),
        play(6, device="a b"),
        play(7, guid="null"),
    )
    received = desk.actions(since)["actions"]
    assert (received[0]["started"], received[0]["position"], received[0]["total"]) == (0, 12, 612)
    assert received[1]["timestamp"] == received[2]["timestamp"] == "2026-05-01T12:00:00"
    assert received[4]["timestamp"] < "2100"
    assert "device" not in received[5]
    assert "guid" not in received[6]


def test_without_a_guid_it_is_the_episode_that_has_the_file(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    phone.upload(play(1))
    desk.upload(without(play(1, position=90, at="2026-05-02T12:00:00"), "guid"))
    desk.upload(without(play(2), "guid"))
    phone.upload(play(2, position=99, at="2026-05-03T12:00:00"))
    plays = state_of(alice.pk).user.plays.values()
    assert sorted((parts_of_item(one.item)[0], one.position) for one in plays) == [
        ("episode-1-1", 90),
        ("episode-1-2", 99),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b"\xff[]", b"[NaN]", b'[{"a":1,"a":2}]'])
def test_what_is_no_upload_is_refused(phone: PodcastApp, body: bytes) -> None:
    assert phone.ask("POST", EPISODES, body).status_code == 400


def test_a_body_may_be_compressed_but_not_without_end(phone: PodcastApp) -> None:
    body = gzip.compress(json.dumps([play(1)]).encode())
    assert phone.ask("POST", EPISODES, body, content_encoding="gzip").status_code == 200
    assert len(phone.actions()["actions"]) == 1
    assert phone.ask("POST", EPISODES, body[:-9], content_encoding="gzip").status_code == 400
    bomb = gzip.compress(b" " * (17 * 1024 * 1024))
    assert phone.ask("POST", EPISODES, bomb, content_encoding="gzip").status_code == 413
    assert phone.ask("POST", EPISODES, b"[" + b"1," * 50_000 + b"1]").status_code == 413
    assert phone.ask("POST", EPISODES, b" " * (17 * 1024 * 1024)).status_code == 413
    assert phone.ask("POST", EPISODES, b"\xef\xbb\xbf[]").status_code == 200


def test_one_podcast_or_device_alone_may_be_asked_for(phone: PodcastApp, desk: PodcastApp) -> None:
    phone.upload(play(1, device="phone"), play(1, feed=2, device="tablet"))
    assert len(desk.actions(0, "&device=tablet")["actions"]) == 1
    assert len(desk.actions(0, "&podcast=HTTPS://example.org/1.xml")["actions"]) == 1
    assert desk.actions(0, "&podcast=x")["actions"] == []
    assert desk.ask("GET", f"{EPISODES}?device=unknown").status_code == 404


def test_aggregated_is_the_newest_play_of_each_episode(phone: PodcastApp, desk: PodcastApp) -> None:
    other = without(play(2, action="download"), "started", "position", "total")
    late = play(1, position=3, at="2020-01-01T00:00:00")
    phone.upload(play(1, position=5), other | {"guid": "episode-1-1"}, other, late)
    answer = desk.actions(0, "&aggregated=true")
    received = [(one["action"], one.get("position")) for one in answer["actions"]]
    assert received == [("play", 5), ("download", None)]
    phone.upload(*(play(1, position=day, at=f"2026-05-0{day}T12:00:00") for day in (7, 6)))
    assert positions(desk.actions(answer["timestamp"], "&aggregated=true")) == [7]


def test_version_one_writes_times_of_day(phone: PodcastApp) -> None:
    sent = play(1, started="00:00:05", position="01:00:10", total="02:00:00")
    phone.json("POST", "/api/1/episodes/alice.json", [sent])
    (received,) = phone.json("GET", "/api/1/episodes/alice.json")["actions"]
    assert (received["started"], received["position"], received["total"]) == (
        "00:00:05",
        "01:00:10",
        "02:00:00",
    )


def test_text_is_ascii_whatever_it_says(phone: PodcastApp, desk: PodcastApp) -> None:
    phone.upload(play(1, guid="été 𝄞"))
    raw = content_of(desk.ask("GET", EPISODES))
    assert raw.isascii()
    assert json.loads(raw)["actions"][0]["guid"] == "été 𝄞"


def test_a_long_history_comes_whole(
    phone: PodcastApp, desk: PodcastApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.gpodder.episodes.CHUNK", 4)
    phone.upload(*(play(number) for number in range(11)))
    answer = desk.actions()
    assert len(answer["actions"]) == 11
    assert desk.actions(answer["timestamp"])["actions"] == []
    monkeypatch.setattr("api.gpodder.episodes.MOST_SENT", 8)
    part = desk.actions(0)
    assert len(part["actions"]) == 8
    assert len(desk.actions(part["timestamp"])["actions"]) == 3


def test_what_is_older_than_the_log_comes_from_its_checkpoint(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    since = desk.actions()["timestamp"]
    phone.upload(play(1), play(2), without(play(2, action="new"), "started", "position", "total"))
    phone.upload_subscriptions(["https://example.org/9.xml"])
    now = datetime.now(UTC)
    dispatch(TakeCheckpoint(user_id=alice.pk, now=now, before=now), Origin())
    (gone,) = {one.feed for one in state_of(alice.pk).user.plays.values()}
    remove(RemoveEvents(user_id=alice.pk, now=now, feed=gone, item=None), Origin())
    phone.upload(play(3, feed=2))
    for mark in (0, since):
        assert [one["guid"] for one in desk.actions(mark)["actions"]] == ["episode-2-3"]
    assert desk.subscriptions(0)["add"] == ["https://example.org/9.xml"]


def test_after_45_days_every_episode_has_its_last_place_and_nothing_is_lost(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    phone.upload_subscriptions([feed_url(1), feed_url(2)])
    phone.upload(play(1, position=5), play(1, position=50, at="2026-05-02T12:00:00"), play(2))
    phone.upload(without(play(2, action="download"), "started", "position", "total"))
    phone.upload_subscriptions([], [feed_url(2)])
    since = desk.actions()["timestamp"], desk.subscriptions()["timestamp"]
    phone.upload(play(3))
    assert run_worker().events_deleted
    SyncMark.objects.update(at=F("at") - timedelta(days=46))
    app_login.clean_up(timezone.now())
    # an app that was away meanwhile, and a new one
    fresh = PodcastApp("alice", password_of(alice), "fresh")
    for app, mark in ((desk, since[0]), (fresh, 0)):
        received = app.actions(mark)["actions"]
        kinds = {(one["guid"], one["action"], one.get("position")) for one in received}
        assert ("episode-1-3", "play", 60) in kinds
    assert kinds == {
        ("episode-1-1", "play", 50),
        ("episode-1-2", "play", 60),
        ("episode-1-2", "download", None),
        ("episode-1-3", "play", 60),
    }
    assert (fresh.subscriptions()["add"], fresh.subscriptions()["remove"]) == ([feed_url(1)], [])
    assert feed_url(2) not in desk.subscriptions(since[1])["add"]
    # later actions reach every app
    phone.upload(play(4))
    assert [one["guid"] for one in fresh.actions(fresh.actions()["timestamp"])["actions"]] == []
    assert "episode-1-4" in {one["guid"] for one in desk.actions(since[0])["actions"]}


def test_our_own_api_and_these_apps_agree(phone: PodcastApp, alice: User) -> None:
    App().grant(alice)
    own = Device(alice.pk)
    phone.upload(play(1, position=100))
    (status,) = own.sync()["data"]["play_statuses"]
    assert (status["guid"], status["position"], status["total"]) == ("episode-1-1", 100, 600)
    since = phone.actions()["timestamp"]
    own.post(
        "plays", {"rss_source_feed": status["rss_source_feed"], "guid": "web", "position": 9, "played": True}
    )
    (received,) = phone.actions(since)["actions"]
    assert received["started"] == received["position"] == received["total"] == 9


def test_each_device_is_answered_by_the_address_of_the_file_that_it_used(
    phone: PodcastApp, desk: PodcastApp
) -> None:
    other = "https://cdn.example/1.mp3?by=gPodder"
    for app in (phone, desk):
        app.subscriptions()
    since = phone.actions()["timestamp"]
    phone.upload(play(1), play(2))
    desk.upload(play(1, episode=other, position=90, at="2026-05-02T12:00:00"), play(3, episode=other + "3"))
    names = {(one["position"], one["episode"]) for one in phone.actions(since)["actions"]}
    # this device has sent no address of the second episode's file
    assert names == {(90, "https://example.org/1/1.mp3"), (60, other + "3")}
    assert {one["episode"] for one in desk.actions(since)["actions"] if one["guid"] == "episode-1-1"} == {
        other
    }


def test_what_feeds_tell_of_a_file_completes_what_apps_send(
    phone: PodcastApp, desk: PodcastApp, alice: User
) -> None:
    feed = known_feed("https://example.org/1.xml")
    for guid, file in (("told-1", "1"), ("twin-a", "2"), ("twin-b", "2")):
        known_episode(feed, guid, f"https://example.org/1/{file}.mp3", duration=1_000)
    phone.upload(*(without(play(number, position=980), "guid", "total") for number in (1, 2)))
    plays = {parts_of_item(one.item): one.played for one in state_of(alice.pk).user.plays.values()}
    assert plays == {
        ("told-1", "https://example.org/1/1.mp3"): True,
        # two episodes share this file, so it is unknown which one was played
        ("", "https://example.org/1/2.mp3"): False,
    }
    received = desk.actions()["actions"]
    assert (received[0]["guid"], received[0]["total"]) == ("told-1", 1_000)


def test_an_address_that_just_fits_is_taken_with_whatever_guid_its_feed_tells(
    phone: PodcastApp, alice: User
) -> None:
    feed = known_feed("https://example.org/1.xml")
    known_episode(feed, "g" * 2_000, url := "https://example.org/1/" + "x" * (4_095 - 22), duration=1_000)
    assert phone.upload({**without(play(1), "guid"), "episode": url})["update_urls"] == []
    (known,) = state_of(alice.pk).user.plays.values()
    assert parts_of_item(known.item) == ("g" * 2_000, "")
    for path, name in (("settings/alice/episode", "episode"), ("data/episode", "url")):
        for address, statuses in ((url, (200, 404)), (f"{url}x", (400,))):
            query = urlencode({"podcast": "https://example.org/1.xml", name: address})
            assert phone.ask("GET", f"/api/2/{path}.json?{query}").status_code in statuses
