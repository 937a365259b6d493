"""Titles are given wherever a podcast or an episode is listed, except to those who may not see them."""

from typing import Any

import pytest

from eventstore.domain.identifiers import feed_of_url
from feeds.models import Category, EnrichedPodcast, Feed
from tests.api.devices import Device, document, faults, feed, item, play
from tests.api.test_public import PATHS, ask, in_public, shown, work
from tests.feeds.known import known_as, known_episode, known_feed
from tests.feeds.rows import alias_key
from tests.projecting import bring_up_to_date

URL = "https://example.org/1.xml"
SECRET_URL = "https://www.patreon.com/rss/show?auth=secret"
SECRET = feed_of_url(SECRET_URL)
TITLES = {"rss_feed_title": "Slow Radio", "rss_item_title": "The First"}


@pytest.fixture
def slow_radio(stores: None) -> Feed:
    """The feed of the recorded plays, with its first episode."""
    made = known_feed(URL, title="Slow Radio", language="en-GB", categories=["history"])
    known_episode(made, "episode-1", "https://example.org/1.mp3", title="The First")
    return made


def entry(device: Device, path: str, of: str) -> dict[str, Any]:
    bring_up_to_date()
    (one,) = document(device.get(path))[of]
    return dict(one)


def enrich(url: str = URL) -> None:
    EnrichedPodcast.objects.create(
        feed_key=alias_key(url),
        url=url,
        slug="slow-radio",
        color="#2f6f4e",
        links=[{"url": "https://slow.example/", "title": "Its site"}],
        featured=True,
    )


def test_a_listeners_lists_have_them(phone: Device, slow_radio: Feed) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed()})
    phone.post("plays", play())
    phone.post(f"episodes/{item()}/save", {"rss_source_feed": feed()})
    playlist = document(phone.post("playlists", {"name": "Evening"}))["playlist"]["id"]
    phone.post(f"playlists/{playlist}/items", {"rss_source_feed": feed(), "rss_source_item": item()})
    collection = document(phone.post("collections", {"name": "Quiet"}))["collection"]["id"]
    phone.post(f"collections/{collection}/feeds", {"rss_source_feed": feed()})
    subscription = entry(phone, "subscriptions", "subscriptions")
    assert (subscription["rss_feed_title"], subscription["moved_to"]) == ("Slow Radio", None)
    for path, of in (
        ("plays", "play_statuses"),
        ("episodes/saved", "saved_episodes"),
        (f"playlists/{playlist}", "items"),
    ):
        one = entry(phone, path, of)
        assert one == one | TITLES, path
    assert entry(phone, f"collections/{collection}", "feeds")["rss_feed_title"] == "Slow Radio"


def test_what_is_not_known_has_none(phone: Device, slow_radio: Feed) -> None:
    phone.post("plays", play(2))
    phone.post("plays", play(1, rss_source_feed=feed(2)))
    bring_up_to_date()
    known, unknown = document(phone.get("plays"))["play_statuses"]
    assert (known["rss_feed_title"], known["rss_item_title"]) == ("Slow Radio", None)
    assert (unknown["rss_feed_title"], unknown["rss_item_title"]) == (None, None)


def test_a_subscription_says_where_its_feed_has_moved_to_and_what_the_operator_says(
    phone: Device, slow_radio: Feed
) -> None:
    old = known_as(slow_radio, "https://old.example/feed", "moved")
    enrich()
    phone.post("subscriptions", {"rss_source_feed": old})
    subscription = entry(phone, "subscriptions", "subscriptions")
    assert (subscription["rss_source_feed"], subscription["moved_to"]) == (old, URL)
    assert subscription["enriched"] == {
        "slug": "slow-radio",
        "color": "#2f6f4e",
        "links": [{"url": "https://slow.example/", "title": "Its site"}],
        "note": None,
        "featured": True,
    }


def test_the_title_of_a_secret_feed_is_for_who_follows_it(phone: Device, bobs: Device) -> None:
    known_feed(SECRET_URL, title="For members", is_secret=True)
    phone.post("subscriptions", {"rss_source_feed": SECRET})
    for device, title in ((phone, "For members"), (bobs, None)):
        device.post("plays", play(rss_source_feed=SECRET))
        assert entry(device, "plays", "play_statuses")["rss_feed_title"] == title
    phone.delete(f"subscriptions/{SECRET}")
    assert entry(phone, "plays", "play_statuses")["rss_feed_title"] is None
    assert entry(phone, "subscriptions?include=removed", "subscriptions")["rss_feed_title"] is None


def test_public_lists_have_them_and_a_new_title_makes_a_new_etag(phone: Device, slow_radio: Feed) -> None:
    enrich()
    in_public(phone)
    phone.post("plays", play())
    work()
    assert shown("trending/podcasts")["podcasts"][0]["rss_feed_title"] == "Slow Radio"
    assert shown("trending/podcasts")["podcasts"][0]["enriched"]["slug"] == "slow-radio"
    for one in (
        shown("trending/episodes")["episodes"][0],
        shown(f"episode/{item()}/popularity"),
        shown("timeline")["events"][0],
    ):
        assert one == one | TITLES
    tags = {path: ask(path).headers["ETag"] for path in PATHS}
    assert [ask(path, If_None_Match=tags[path]).status_code for path in PATHS] == [304] * len(PATHS)
    Feed.objects.filter(pk=slow_radio.pk).update(title="Slower Radio")
    for path in PATHS:
        again = ask(path, If_None_Match=tags[path])
        assert again.status_code == 200
        assert b"Slower Radio" in again.content


def test_what_is_heard_in_private_alone_has_none_in_public(phone: Device, slow_radio: Feed) -> None:
    """To show that this server knows the podcast would reveal that somebody here follows it."""
    enrich()
    before = [ask(f"podcast/{feed()}/popularity").content, ask(f"episode/{item()}/popularity").content]
    assert not any(b"Slow Radio" in content or b"slow-radio" in content for content in before)
    phone.put("privacy", {"privacy": "private"})
    phone.post("plays", play())
    work()
    after = [ask(f"podcast/{feed()}/popularity").content, ask(f"episode/{item()}/popularity").content]
    assert after == before


@pytest.mark.parametrize("hidden", ["is_secret", "blocked", "locked"])
def test_a_secret_or_blocked_feed_has_none_in_public(phone: Device, slow_radio: Feed, hidden: str) -> None:
    in_public(phone)
    phone.post("plays", play())
    work()
    Feed.objects.filter(pk=slow_radio.pk).update(**{hidden: True})
    for path in PATHS:
        assert b"Slow Radio" not in ask(path).content


def test_an_episode_that_its_publisher_blocks_is_in_no_public_list(phone: Device, slow_radio: Feed) -> None:
    in_public(phone)
    phone.post("plays", play())
    work()
    assert shown(f"episode/{item()}/popularity")["plays"] == 1
    slow_radio.episodes.update(blocked=True)
    assert shown("trending/episodes")["episodes"] == []
    assert shown("timeline")["events"] == []
    alone = shown(f"episode/{item()}/popularity?feed={feed()}")
    assert (alone["plays"], alone["rss_item_title"], alone["people"]) == (0, None, [])


def test_trending_lists_are_cut_to_a_category_and_a_language(phone: Device, slow_radio: Feed) -> None:
    top = Category.objects.create(slug="society", name="Society & Culture")
    Category.objects.create(slug="history", name="History", parent=top)
    known_feed("https://example.org/2.xml", title="Cuisine", language="fr_CA", categories=["Food"])
    Category.objects.create(slug="food", name="Food")
    in_public(phone)
    for number in (1, 2, 3):
        phone.post("plays", play(number, rss_source_feed=feed(number)))
    work()

    def found(query: str) -> list[set[str]]:
        answers = shown(f"trending/podcasts?{query}"), shown(f"trending/episodes?{query}")
        return [
            {one["rss_source_feed"] for (entries,) in [answer.values()] for one in entries}
            for answer in answers
        ]

    for query, expected in (
        ("category=history", {feed(1)}),
        ("category=society", {feed(1)}),
        ("category=food", {feed(2)}),
        ("language=en", {feed(1)}),
        ("language=FR", {feed(2)}),
        ("language=fr-ca", {feed(2)}),
        ("language=en-US", set()),
        ("category=food&language=fr", {feed(2)}),
        ("category=food&language=en", set()),
        (f"category=food&feed={feed(1)}", set()),
        ("", {feed(1), feed(2), feed(3)}),
    ):
        assert found(query) == [expected, expected], query
    for query in ("category=nonsense", "category=A", "language=x", "language=en'--", "category="):
        answer = ask(f"trending/podcasts?{query}")
        assert (answer.status_code, list(faults(answer))) == (400, [query.partition("=")[0]]), query
