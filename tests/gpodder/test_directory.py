"""The directory: popular podcasts with last week's figures, cached for five minutes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.cache import cache
from django.test import Client
from mygpoclient import simple
from pytest_django.fixtures import Settings

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.privacy import ChangePrivacy, Level
from eventstore.domain.subscriptions import Subscribe
from feeds.models import Category, Feed
from projections import popularity, public
from tests.feeds.known import known_episode
from tests.feeds.rows import name_of
from tests.gpodder.apps import PodcastApp, play
from tests.projecting import bring_up_to_date
from tests.web.library import show

PODCAST_FIELDS = {
    "url",
    "title",
    "author",
    "description",
    "subscribers",
    "subscribers_last_week",
    "position_last_week",
    "logo_url",
    "scaled_logo_url",
    "website",
    "mygpo_link",
}


def shown(path: str) -> Any:
    answer = Client().get(path)
    assert answer.status_code == 200, (path, answer.content)
    return answer.json()


def share(user: User, level: Level = "public") -> None:
    dispatch(ChangePrivacy(user_id=user.pk, now=datetime.now(UTC), level=level), Origin())


def follow(user: User, feed: Feed, days: int) -> None:
    now = datetime.now(UTC)
    order = Subscribe(user_id=user.pk, now=now, feed=name_of(feed), at=now - timedelta(days=days))
    dispatch(order, Origin())


def count() -> None:
    bring_up_to_date()
    popularity.recalculate()
    bring_up_to_date()


@pytest.fixture
def charts(alice: User, bob: User) -> list[Feed]:
    """Two podcasts: the first got its one listener over a week ago, the second has got two since."""
    cache.clear()
    Category.objects.get_or_create(slug="news", defaults={"name": "News"})
    feeds = [
        show(1, categories=["News"], cover_url="https://show1.example/cover.jpg"),
        show(2, author='<a href="x">&\x07</a>'),
    ]
    for user in (alice, bob):
        share(user)
        follow(user, feeds[1], 1)
    follow(alice, feeds[0], 10)
    count()
    return feeds


def test_it_has_the_figures_of_a_week_ago(charts: list[Feed]) -> None:
    names = ("title", "subscribers", "subscribers_last_week", "position_last_week")
    expected = [("Show 2", 2, 0, 0), ("Show 1", 1, 1, 1)]
    for one in shown("/toplist.json"):
        assert simple.Podcast.from_dict(one).title == one["title"]
        assert one.keys() >= PODCAST_FIELDS
    for path in ("/toplist.json", "/toplist/2.json"):
        assert [tuple(one[name] for name in names) for one in shown(path)] == expected
    (found,) = shown("/search.json?q=Show+1")
    assert tuple(found[name] for name in names) == expected[1]
    (found,) = shown("/api/2/tag/news/5.json")
    assert tuple(found[name] for name in names) == expected[1]
    found = shown(f"/api/2/data/podcast.json?url={charts[0].url}")
    assert tuple(found[name] for name in names) == expected[1]
    assert [one["title"] for one in shown("/toplist/1.json")] == ["Show 2"]
    assert shown("/api/2/tags/5.json") == [{"title": "News", "tag": "news", "usage": 1}]


def test_each_format_says_what_a_title_says(charts: list[Feed]) -> None:
    title = '</podcast>"A" & <b>B</b>'
    Feed.objects.filter(pk=charts[1].pk).update(title=title)
    cache.clear()
    xml = ElementTree.fromstring(Client().get("/toplist.xml").content)
    assert (xml[0].findtext("title"), xml[0].findtext("author")) == (title, '<a href="x">&</a>')
    opml = ElementTree.fromstring(Client().get("/toplist.opml").content)
    outlines = [one.attrib for one in opml.iter("outline") if one.get("xmlUrl")]
    assert {one["xmlUrl"]: one["text"] for one in outlines}[charts[1].url] == title
    assert Client().get("/toplist.txt").content.decode() == f"{charts[1].url}\n{charts[0].url}\n"
    script = Client().get("/toplist.jsonp?jsonp=show").content.decode()
    assert json.loads(script.removeprefix("show(").removesuffix(")"))[0]["title"] == title


def test_it_is_kept_until_something_is_taken_out_of_sight(
    charts: list[Feed], bob: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown("/toplist.json")
    with monkeypatch.context() as patch:
        patch.setattr(public, "trending_podcasts", None)
        assert shown("/toplist.json") == before
    share(bob, "private")
    count()
    assert [one["subscribers"] for one in shown("/toplist.json")] == [1, 1]
    share(alice, "private")
    count()
    assert shown("/toplist.json") == shown("/search.json?q=Show") == []


def test_logos_are_as_large_as_is_asked_for(charts: list[Feed]) -> None:
    for query, size in (("", 96), ("?scale_logo=64", 96), ("?scale_logo=97", 300), ("?scale_logo=256", 300)):
        logos = [one["scaled_logo_url"] for one in shown(f"/toplist.json{query}")]
        assert f"/{size}.webp" in logos[1], query
    assert "/600.webp" in shown("/toplist.json")[1]["logo_url"]
    for wrong in ("0", "257", "-1", "x", "٣", "9999"):
        for path in ("/toplist.json", "/toplist.xml", "/api/2/tag/news/5.json"):
            assert Client().get(path, {"scale_logo": wrong}).status_code == 400, (path, wrong)


def test_an_address_asks_so_often(charts: list[Feed], settings: Settings) -> None:
    settings.PUBLIC_REQUESTS_PER_MINUTE = 3
    found = [Client(REMOTE_ADDR="203.0.113.79").get("/toplist.json") for _ in range(4)]
    assert [answer.status_code for answer in found] == [200] * 3 + [429]
    assert int(found[-1]["Retry-After"]) <= 60


def test_updates_have_what_was_done_where_that_is_asked_for(phone: PodcastApp, alice: User) -> None:
    feed = show(7)
    for number in (1, 2, 3):
        at = datetime.now(UTC)
        enclosure = f"{feed.url}/{number}.mp3"
        known_episode(feed, f"g{number}", enclosure, title=str(number), published_at=at, sort_at=at)
    phone.upload_subscriptions([feed.url])
    done = [play(1, podcast=feed.url, episode=f"{feed.url}/1.mp3", guid="g1", device="phone")]
    other = {**done[0], "action": "download", "guid": "g2", "episode": f"{feed.url}/2.mp3"}
    phone.upload(*done, {name: other[name] for name in other.keys() - {"started", "position", "total"}})
    path = "/api/2/updates/alice/phone.json?since=1"
    updates = {one["title"]: one for one in phone.json("GET", path)["updates"]}
    assert all("action" not in one for one in updates.values())
    updates = {one["title"]: one for one in phone.json("GET", f"{path}&include_actions=true")["updates"]}
    assert [updates[title]["status"] for title in "123"] == ["play", "download", "new"]
    assert {name: updates["1"]["action"][name] for name in ("action", "position", "total")} == {
        "action": "play",
        "position": 60,
        "total": 600,
    }
    assert updates["2"]["action"]["action"] == "download"
    assert "action" not in updates["3"]
