"""What is known of a podcast that somebody follows and of its episodes, and fetching it again."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import redis
from django.conf import settings

from accounts import attempts
from api.clock import now
from eventstore.domain.identifiers import feed_of_url
from feeds.models import Feed
from jobs import announcing
from tests.api.devices import Device, code_of, document, faults, feed, item, unharmed
from tests.feeds.known import known_as, known_episode, known_feed
from tests.feeds.rows import PUBLISHED
from tests.projecting import bring_up_to_date

URL = "https://example.org/1.xml"
HOSTILE = '<p onclick="x()">Good <script>alert(1)</script><img src="https://spy.example/1.png"><b>day</b></p>'
SAFE = "<p>Good <b>day</b></p>"
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def asked(stores: None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list that collects what the workers are asked for; the sending itself is tested with the workers."""
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        for key in counters.scan_iter(f"{attempts.PREFIX}*"):
            counters.delete(key)
    found: list[Any] = []
    monkeypatch.setattr(announcing, "_put", found.append)
    return found


@pytest.fixture
def follower(phone: Device, asked: list[Any]) -> Device:
    """Alice's phone, which follows the feed."""
    phone.post("subscriptions", {"rss_source_feed": feed()})
    bring_up_to_date()
    asked.clear()
    return phone


def metadata(device: Device, name: str = feed()) -> dict[str, Any]:
    answer = device.get(f"subscriptions/{quote(name, safe='')}/metadata")
    assert answer.status_code == 200, answer.content
    return document(answer)


def episodes(device: Device, query: str = "") -> list[dict[str, Any]]:
    answer = device.get(f"subscriptions/{feed()}/episodes{query}")
    assert answer.status_code == 200, answer.content
    return list(document(answer)["episodes"])


def test_a_feed_that_was_never_read_has_nulls_and_is_asked_for_once(
    follower: Device, asked: list[Any]
) -> None:
    shown = metadata(follower)
    known = {name: value for name, value in shown.items() if value is not None}
    assert known == {
        "rss_source_feed": feed(),
        "feed_url": URL,
        "categories": [],
        "complete": False,
        "funding": [],
        "podcast": {},
        "state": "new",
        "state_text": "Not read yet.",
        "warnings": [],
    }
    assert episodes(follower) == []
    metadata(follower)
    assert asked == [[feed()]]


def test_all_that_is_known_is_shown_and_made_safe(follower: Device) -> None:
    extra = {
        "funding": [{"url": "https://give.example/", "text": "Give"}],
        "person": [{"text": "Ann", "role": "host", "img": "https://spy.example/ann.png"}],
        "images": [{"srcset": "https://spy.example/1.png 1x"}],
    }
    made = known_feed(
        URL,
        title="Slow Radio",
        author="Ann",
        description=HOSTILE,
        link="https://slow.example/",
        language="en",
        categories=["Arts"],
        owner_email="ann@example.org",
        extra=extra,
        warnings=["Too long a title."],
        episode_count=1,
        newest_at=PUBLISHED,
    )
    shown = metadata(follower)
    assert shown == shown | {
        "uid": str(made.uid),
        "title": "Slow Radio",
        "author": "Ann",
        "description": SAFE,
        "language": "en",
        "categories": ["Arts"],
        "funding": [{"url": "https://give.example/", "text": "Give"}],
        "episode_count": 1,
        "newest_episode_at": "2026-11-01T06:00:00Z",
        "state": "ok",
        "error": None,
        "moved_to": None,
        "warnings": ["Too long a title."],
    }
    assert shown["podcast"]["person"] == [{"text": "Ann", "role": "host"}]
    assert "spy.example" not in str(shown)
    assert "ann@example.org" not in str(shown)


def test_a_failure_is_told_in_words_with_the_next_try(follower: Device) -> None:
    since = now() - timedelta(hours=3)
    known_feed(
        URL,
        title="Slow Radio",
        state="failing",
        error="http_error",
        status=502,
        error_since=since,
        next_at=since + timedelta(hours=4),
    )
    shown = metadata(follower)
    assert (shown["title"], shown["state"]) == ("Slow Radio", "stale")
    assert f"since {since:%Y-%m-%d %H:%M} UTC; tried again at" in shown["state_text"]
    assert shown["error"] == shown["error"] | {
        "code": "http_error",
        "detail": "Its server answered with an error.",
        "status": 502,
    }


def test_who_follows_it_by_another_address_sees_it_too(follower: Device) -> None:
    made = known_feed(URL, title="Slow Radio")
    new = known_as(made, "https://new.example/feed", "moved")
    Feed.objects.filter(pk=made.pk).update(url="https://new.example/feed")
    assert metadata(follower)["moved_to"] == "https://new.example/feed"
    shown = metadata(follower, new)
    assert (shown["rss_source_feed"], shown["moved_to"], shown["title"]) == (new, None, "Slow Radio")


@pytest.mark.parametrize("place", ["metadata", "episodes", "refresh"])
def test_who_does_not_follow_it_learns_nothing(
    follower: Device, bobs: Device, asked: list[Any], place: str
) -> None:
    known_feed(URL, title="Slow Radio")
    method = "POST" if place == "refresh" else "GET"
    for name in (feed(1), feed(2)):
        answer = bobs.send(method, f"subscriptions/{name}/{place}")
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
    follower.delete(f"subscriptions/{feed()}")
    bring_up_to_date()
    assert follower.send(method, f"subscriptions/{feed()}/{place}").status_code == 404
    assert asked == []


def test_a_read_waits_for_the_subscription_that_its_caller_made(
    phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = phone.post("subscriptions", {"rss_source_feed": feed()})
    monkeypatch.setattr("api.answers.wait_for", lambda *args: bring_up_to_date())
    position = written.headers["Balados-Position"]
    answer = phone.get(f"subscriptions/{feed()}/metadata", Balados_Position=position)
    assert (answer.status_code, answer.headers["Balados-Position"]) == (200, position)


def test_episodes_come_in_pages_the_newest_first(follower: Device) -> None:
    made = known_feed(URL)
    for number in range(5):
        at = PUBLISHED + number * MINUTE
        known_episode(made, f"e{number}", f"https://cdn.example/{number}.mp3", published_at=at, sort_at=at)
    known_episode(known_feed("https://example.org/2.xml"), "another")
    seen, query = [], "?limit=2"
    while query:
        page = document(follower.get(f"subscriptions/{feed()}/episodes{query}"))
        seen += [one["guid"] for one in page["episodes"]]
        assert len(page["episodes"]) <= 2
        query = page["next_cursor"] and f"?limit=2&cursor={page['next_cursor']}"
    assert seen == ["e4", "e3", "e2", "e1", "e0"]


def test_an_episode_is_shown_whole_and_made_safe(follower: Device) -> None:
    chapters = [{"start": "0", "title": "Beginning", "image": "https://spy.example/1.png"}]
    extra = {
        "pscChapters": [{"chapter": chapters}],
        "transcript": [{"url": "https://t.example/1.vtt", "type": "text/vtt"}],
    }
    known_episode(
        known_feed(URL),
        "episode-1",
        "https://example.org/1.mp3",
        title="The First",
        description=HOSTILE,
        image_url="https://spy.example/cover.png",
        season=2,
        number=7,
        extra=extra,
    )
    (shown,) = episodes(follower)
    assert shown == shown | {
        "rss_source_feed": feed(),
        "rss_source_item": item(),
        "guid": "episode-1",
        "enclosure_url": "https://example.org/1.mp3",
        "enclosure_type": "audio/mpeg",
        "title": "The First",
        "description": SAFE,
        "season": 2,
        "episode": 7,
        "duration": 1_800,
        "chapters": [{"start": 0.0, "title": "Beginning", "href": None}],
        "podcast": {"transcript": [{"url": "https://t.example/1.vtt", "type": "text/vtt"}]},
        "gone_at": None,
    }
    assert "spy.example" not in str(shown)


def test_what_is_gone_shows_only_to_who_asks_for_changes(follower: Device) -> None:
    made, later = known_feed(URL), PUBLISHED + timedelta(days=1)
    known_episode(made, "kept", "https://cdn.example/1.mp3")
    known_episode(made, "taken-out", "https://cdn.example/2.mp3", gone_at=later, changed_at=later)
    known_episode(made, "new", "https://cdn.example/3.mp3", changed_at=later)
    assert {one["guid"] for one in episodes(follower)} == {"kept", "new"}
    changes = {
        one["guid"]: one["gone_at"] for one in episodes(follower, f"?since={later:%Y-%m-%dT%H:%M:%SZ}")
    }
    assert changes == {"taken-out": "2026-11-02T06:00:00Z", "new": None}


def test_an_episode_that_no_app_can_name_is_left_out(follower: Device) -> None:
    made = known_feed(URL)
    known_episode(made, "", "https://me:secret@cdn.example/1.mp3", key=b"1", items=None)
    known_episode(made, "named", "https://me:secret@cdn.example/2.mp3", key=b"2")
    assert [one["guid"] for one in episodes(follower)] == ["named"]


def test_bad_values_are_named(follower: Device) -> None:
    known_feed(URL)
    with unharmed(follower):
        for query, place in (
            ("cursor=x", "cursor"),
            ("cursor=MjAyNi0wMS0wMVQwMDowMDowMCswMDowMCA5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "cursor"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("since=yesterday", "since"),
        ):
            answer = follower.get(f"subscriptions/{feed()}/episodes?{query}")
            assert (answer.status_code, faults(answer)) == (400, {place: "invalid"}), query
        answer = follower.get("subscriptions/x/metadata")
        assert (answer.status_code, faults(answer)) == (400, {"feed": "invalid"})


def test_a_feed_is_fetched_anew_when_somebody_asks_and_once_in_five_minutes(
    follower: Device, asked: list[Any]
) -> None:
    made = known_feed(URL, fetched_at=now() - timedelta(minutes=6))
    answer = follower.post(f"subscriptions/{feed()}/refresh", None)
    assert (answer.status_code, document(answer)) == (202, {"status": "success", "state": "queued"})
    again = follower.post(f"subscriptions/{feed()}/refresh", None)
    assert (again.status_code, code_of(again)) == (429, "fetched_lately")
    assert 0 < int(again.headers["Retry-After"]) <= 300
    assert asked == [made.pk]


def test_a_repeat_under_one_key_gets_the_first_answer(follower: Device, asked: list[Any]) -> None:
    known_feed(URL)
    key = {"Idempotency_Key": "0b9f2a4e-5f0c-4f4e-9d55-3f1c8a2f7a10"}
    answers = [follower.post(f"subscriptions/{feed()}/refresh", None, **key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert len(asked) == 1


def test_what_was_fetched_lately_or_wants_to_be_left_alone_is_not_fetched(
    follower: Device, asked: list[Any]
) -> None:
    made = known_feed(URL, fetched_at=now() - MINUTE)
    answer = follower.post(f"subscriptions/{feed()}/refresh", None)
    assert (answer.status_code, code_of(answer)) == (429, "fetched_lately")
    assert 180 < int(answer.headers["Retry-After"]) <= 240
    made.schedule.host.paused_until = now() + timedelta(hours=1)
    made.schedule.host.save(using="system")
    answer = follower.post(f"subscriptions/{feed()}/refresh", None)
    assert (answer.status_code, code_of(answer)) == (429, "paused")
    assert 3_500 < int(answer.headers["Retry-After"]) <= 3_600
    assert metadata(follower)["state"] == "paused"
    assert asked == []


def test_without_redis_it_is_fetched_all_the_same(
    follower: Device, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(attempts, "count", away)
    assert metadata(follower)["state"] == "new"
    made = known_feed(URL)
    assert follower.post(f"subscriptions/{feed()}/refresh", None).status_code == 202
    assert asked == [[feed()], made.pk]


def test_a_secret_feed_is_shown_to_its_follower_by_every_spelling(phone: Device) -> None:
    url = "https://www.patreon.com/rss/show?auth=secret"
    known_feed(url, title="For members", is_secret=True)
    phone.post("subscriptions", {"rss_source_feed": feed_of_url(url)})
    bring_up_to_date()
    shown = metadata(phone, feed_of_url(url))
    assert (shown["title"], shown["feed_url"]) == ("For members", url)
