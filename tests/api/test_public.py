"""What everybody may read: trending lists, popularity, the timeline."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import User
from api.clock import now
from eventstore import log
from projections import popularity, public, rebuild
from projections.connect import run
from projections.projectors import PROJECTORS
from tests.api import hostile
from tests.api.devices import Device, b64, code_of, document, faults, feed, item, play
from tests.apps import App
from tests.factories import UserFactory
from tests.projecting import bring_up_to_date, lagging_projectors
from tests.projections.histories import record_raw

PATHS = [
    "trending/podcasts",
    "trending/episodes",
    f"podcast/{feed()}/popularity",
    f"episode/{item()}/popularity",
    "timeline",
]


def ask(path: str, **headers: str) -> HttpResponse:
    """Send a request as anybody may, without a token."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer: Any = Client(raise_request_exception=False).get(f"/api/v1/public/{path}", headers=named)
    return answer  # type: ignore[no-any-return]


def shown(path: str) -> Any:
    answer = ask(path)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


def in_public(*devices: Device) -> None:
    for device in devices:
        assert device.put("privacy", {"privacy": "public"}).status_code == 200


def work() -> None:
    """Do what the worker does for the public figures every five minutes."""
    bring_up_to_date()
    popularity.recalculate()
    bring_up_to_date()


def test_it_lists_podcasts_the_highest_score_first(phone: Device, bobs: Device) -> None:
    in_public(phone, bobs)
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    phone.post("plays", play(1, rss_source_feed=feed(2)))
    for device in (phone, bobs):
        device.post("subscriptions", {"rss_source_feed": feed(3)})
    bobs.post("plays", play(3, rss_source_feed=feed(3)))
    bobs.post(f"episodes/{item(3)}/save", {"rss_source_feed": feed(3)})
    bobs.post(f"episodes/{item(3)}/share", {"rss_source_feed": feed(3)})
    work()
    podcasts = shown("trending/podcasts")["podcasts"]
    assert [(one["rss_source_feed"], one["score"]) for one in podcasts] == [
        (feed(3), 30),
        (feed(1), 10),
        (feed(2), 5),
    ]
    assert podcasts[0] == {
        "rss_source_feed": feed(3),
        "feed_url": "https://example.org/3.xml",
        "rss_feed_title": None,
        "cover": None,
        "enriched": None,
        "score": 30,
        "score_previous": 0,
        "plays": 1,
        "likes": 1,
        "shares": 1,
        "subscribers": 2,
        "people": [{"username": "bob"}],
    }
    assert shown("trending/podcasts?limit=1")["podcasts"] == podcasts[:1]
    assert shown(f"trending/podcasts?feed={feed(1)}")["podcasts"] == podcasts[1:2]
    assert shown(f"podcast/{feed(3)}/popularity") == podcasts[0]


def test_it_lists_episodes_of_one_feed_or_of_all(phone: Device) -> None:
    in_public(phone)
    phone.post("plays", play(1, rss_source_feed=feed(1)))
    phone.post("plays", play(2, rss_source_feed=feed(2)))
    phone.post(f"episodes/{item(2)}/save", {"rss_source_feed": feed(2)})
    work()
    episodes = shown("trending/episodes")["episodes"]
    assert [one["rss_source_item"] for one in episodes] == [item(2), item(1)]
    assert episodes[0] == {
        "rss_source_feed": feed(2),
        "rss_source_item": item(2),
        "guid": "episode-2",
        "enclosure_url": "https://example.org/2.mp3",
        "rss_feed_title": None,
        "rss_item_title": None,
        "cover": None,
        "score": 8,
        "score_previous": 0,
        "plays": 1,
        "likes": 1,
        "shares": 0,
        "subscribers": 0,
        "people": [{"username": "alice"}],
    }
    assert shown(f"trending/episodes?feed={feed(1)}")["episodes"] == episodes[1:]
    assert shown(f"episode/{item(2)}/popularity") == episodes[0]


def test_the_score_of_a_week_ago_stands_beside_that_of_now(phone: Device, bobs: Device) -> None:
    in_public(phone, bobs)
    phone.post("plays", play(played_at=(now() - timedelta(days=8)).isoformat()))
    bobs.post("plays", play())
    work()
    (one,) = shown("trending/podcasts")["podcasts"]
    assert (one["score"], one["score_previous"]) == (10, 5)
    bobs.put("privacy", {"privacy": "private"})
    phone.put("privacy", {"privacy": "private"})
    bobs.put("privacy", {"privacy": "public"})
    work()
    (one,) = shown("trending/podcasts")["podcasts"]
    assert (one["score"], one["score_previous"]) == (5, 0)
    assert popularity.recalculate() == 0


def test_counted_is_what_changed_since_the_last_time(phone: Device) -> None:
    def scores() -> dict[str, int]:
        rows = run("SELECT rss_source_feed, score FROM public.podcast_popularity", [])
        return {str(feed): int(score) for feed, score in rows}

    in_public(phone)
    for number in (1, 2):
        phone.post("plays", play(number, rss_source_feed=feed(number)))
    work()
    run("UPDATE public.podcast_popularity SET score = 999", [])
    phone.post("plays", play(3, rss_source_feed=feed(2)))
    bring_up_to_date()
    assert popularity.recalculate() == 2, "the feed and the item"
    bring_up_to_date()
    assert scores() == {feed(1): 999, feed(2): 10}
    rebuild.rebuild([PROJECTORS["public_events"]])
    work()
    assert scores() == {feed(1): 5, feed(2): 10}, "after a rebuild everything is counted"


def test_what_is_taken_back_takes_its_points_back(phone: Device) -> None:
    in_public(phone)
    phone.post("subscriptions", {"rss_source_feed": feed()})
    work()
    phone.delete(f"subscriptions/{feed()}")
    work()
    assert shown("trending/podcasts") == {"podcasts": []}


def test_an_unknown_podcast_or_episode_has_zeros(stores: None) -> None:
    zeros = dict.fromkeys(("score", "score_previous", "plays", "likes", "shares", "subscribers"), 0)
    podcast = shown(f"podcast/{feed()}/popularity")
    assert podcast == podcast | zeros | {"rss_source_feed": feed(), "people": []}
    episode = shown(f"episode/{item()}/popularity")
    assert episode == episode | zeros | {"rss_source_feed": None, "rss_source_item": item(), "people": []}


@pytest.mark.parametrize("name", hostile.four_spellings(hostile.AWKWARD_FEED))
def test_a_path_takes_every_spelling(stores: None, name: str) -> None:
    assert shown(f"podcast/{name}/popularity")["rss_source_feed"] == hostile.AWKWARD_FEED


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("podcast/x/popularity", "feed"),
        (f"podcast/{b64('ftp://example.org')}/popularity", "feed"),
        (f"episode/{b64('no enclosure')}/popularity", "item"),
        ("timeline?event_type=PlayRecorded", "event_type"),
        ("timeline?feed=x", "feed"),
        ("timeline?limit=0", "limit"),
        ("timeline?cursor=x", "cursor"),
        ("trending/podcasts?limit=1001", "limit"),
        ("trending/episodes?feed=", "feed"),
    ],
)
def test_bad_values_are_named(stores: None, path: str, place: str) -> None:
    answer = ask(path)
    assert answer.status_code == 400
    assert faults(answer) == {place: "invalid"}


def test_the_timeline_has_the_newest_first(phone: Device, bobs: Device) -> None:
    in_public(phone)
    bobs.put("privacy", {"privacy": "anonymous"})
    phone.post("plays", play(played_at="2026-05-01T12:34:56.789Z"))
    bobs.post("subscriptions", {"rss_source_feed": feed(2), "subscribed_at": "2026-05-01T13:45:00Z"})
    bring_up_to_date()
    answer = shown("timeline")
    ids = [event.pop("id") for event in answer["events"]]
    assert len(set(ids)) == 2
    nothing = {"rss_feed_title": None, "rss_item_title": None, "cover": None}
    assert answer == {
        "events": [
            {
                "event_type": "subscribe",
                "happened_at": "2026-05-01T13:00:00Z",
                "username": None,
                "rss_source_feed": feed(2),
                "feed_url": "https://example.org/2.xml",
                "rss_source_item": None,
                "guid": None,
                "enclosure_url": None,
                **nothing,
            },
            {
                "event_type": "play",
                "happened_at": "2026-05-01T12:34:56.789000Z",
                "username": "alice",
                "rss_source_feed": feed(1),
                "feed_url": "https://example.org/1.xml",
                "rss_source_item": item(1),
                "guid": "episode-1",
                "enclosure_url": "https://example.org/1.mp3",
                **nothing,
            },
        ],
        "next_cursor": None,
    }


def test_the_timeline_comes_in_pages_by_kind_and_by_feed(phone: Device) -> None:
    in_public(phone)
    for number in range(5):
        phone.post("plays", play(number, rss_source_feed=feed(number % 2)))
    phone.post("subscriptions", {"rss_source_feed": feed(0)})
    bring_up_to_date()
    whole = shown("timeline")["events"]
    assert len(whole) == 6
    seen: list[Any] = []
    page = shown("timeline?limit=2")
    while True:
        seen += page["events"]
        if page["next_cursor"] is None:
            break
        page = shown(f"timeline?limit=2&cursor={page['next_cursor']}")
    assert seen == whole
    assert [event["event_type"] for event in shown("timeline?event_type=subscribe")["events"]] == [
        "subscribe"
    ]
    of_feed = shown(f"timeline?feed={feed(1)}")["events"]
    assert {event["rss_source_feed"] for event in of_feed} == {feed(1)}
    assert len(of_feed) == 2


@pytest.mark.parametrize("path", PATHS)
def test_answers_are_for_caches_and_say_nothing_of_the_log(phone: Device, path: str) -> None:
    in_public(phone)
    phone.post("plays", play())
    work()
    answer = ask(path)
    assert answer.headers["Cache-Control"] == "public, no-cache"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Balados-Position" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    again = ask(path, If_None_Match=answer.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    phone.put("privacy", {"privacy": "private"})
    bring_up_to_date()
    changed = ask(path, If_None_Match=answer.headers["ETag"])
    assert changed.status_code == 200
    assert b"alice" not in changed.content


def test_who_asks_does_not_matter(phone: Device) -> None:
    in_public(phone)
    phone.post("plays", play())
    bring_up_to_date()
    for path in PATHS:
        assert ask(path, **phone.headers).content == ask(path).content
        assert ask(path, Authorization="Bearer nonsense").status_code == 200


def test_whose_account_is_switched_off_is_not_shown(phone: Device, alice: User) -> None:
    in_public(phone)
    phone.post("plays", play())
    work()
    alice.is_active = False
    alice.save()
    assert shown("timeline")["events"] == []
    assert shown("trending/podcasts")["podcasts"][0]["people"] == []


def test_the_last_ten_people_are_named(stores: None) -> None:
    for number in range(12):
        user = UserFactory.create(username=f"listener{number}")
        App().grant(user)
        device = Device(user.pk)
        in_public(device)
        device.post("plays", play(played_at=f"2026-05-01T12:{number:02}:00Z"))
    bring_up_to_date()
    people = shown(f"podcast/{feed()}/popularity")["people"]
    assert [one["username"] for one in people] == [f"listener{number}" for number in range(11, 1, -1)]


def test_too_many_requests_of_one_address_are_429(stores: None, settings: Settings) -> None:
    settings.PUBLIC_REQUESTS_PER_MINUTE = 3
    address = "198.51.100.77"

    def status() -> int:
        return Client(REMOTE_ADDR=address).get("/api/v1/public/timeline").status_code

    assert [status() for _ in range(4)] == [200, 200, 200, 429]
    address = "198.51.100.78"
    assert status() == 200


def test_a_change_of_privacy_that_is_not_projected_yet_holds_the_answer_back(
    phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_public(phone)
    phone.post("plays", play())
    work()
    phone.put("privacy", {"privacy": "private"})
    with lagging_projectors(monkeypatch) as waited:
        for path in PATHS:
            answer = ask(path)
            assert (answer.status_code, code_of(answer)) == (503, "behind")
            assert not any(
                character.isdigit() for character in json.loads(answer.content)["errors"][0]["detail"]
            )
            assert int(answer.headers["Retry-After"]) > 0
            assert b"alice" not in answer.content
    assert waited == [log.privacy_fence()] * len(PATHS)
    monkeypatch.setattr(public, "wait_for", lambda projector, position: bring_up_to_date())
    for path in PATHS:
        answer = ask(path)
        assert answer.status_code == 200
        assert b"alice" not in answer.content


def test_other_events_hold_nothing_back(phone: Device) -> None:
    in_public(phone)
    bring_up_to_date()
    phone.post("plays", play())
    for path in PATHS:
        assert ask(path).status_code == 200


def test_a_change_of_privacy_that_cannot_be_read_closes_the_public_lists(phone: Device, alice: User) -> None:
    in_public(phone)
    phone.post("plays", play())
    record_raw(alice.pk, "PrivacyChanged", data='{"level": "hidden"}')
    bring_up_to_date()
    for path in PATHS:
        answer = ask(path)
        assert (answer.status_code, code_of(answer)) == (503, "behind")
    assert document(phone.get("me"))["username"] == "alice"
