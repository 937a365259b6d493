"""Lists of subscriptions are kept in a process, and are never older than what is stored."""

from collections.abc import Callable

import pytest

from api.v1 import subscriptions
from eventstore.domain.identifiers import feed_of_url
from feeds import queries
from feeds.merges import merge, unmerge
from feeds.models import EnrichedPodcast, Feed, FeedAlias
from projections.connect import Connection, connect
from tests.api.devices import Device, document
from tests.feeds.known import known_as, known_feed
from tests.feeds.shows import NOON, A, B
from tests.feeds.shows import read as read_feed
from tests.projecting import bring_up_to_date

URL = "https://example.org/1.xml"
RENAME = 'UPDATE "system"."feeds" SET title = %s WHERE url = %s'


def titles(device: Device, query: str = "") -> list[str | None]:
    answer = document(device.get("subscriptions" + query))
    return [one["rss_feed_title"] for one in answer["subscriptions"]]


def follow(device: Device, *urls: str) -> None:
    for url in urls:
        assert device.post("subscriptions", {"feed_url": url}).status_code == 201
    bring_up_to_date()


def test_a_list_is_made_once(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    known_feed(URL, title="Slow Radio")
    follow(phone, URL)
    place = subscriptions.place_of(phone.user_id, False, None, 100)
    assert titles(phone) == ["Slow Radio"]
    made = place.kept
    assert made is not None
    # what lists do not show
    Feed.objects.update(episode_count=7, changed_at=NOON, version=2)
    assert titles(phone) == ["Slow Radio"]
    assert place.kept is made
    monkeypatch.setattr(subscriptions, "LARGEST_KEPT", 100)
    Feed.objects.update(title="Slower Radio")
    assert titles(phone) == titles(phone) == ["Slower Radio"]
    assert place.kept is None


def test_every_change_of_a_feed_is_in_the_next_answer(phone: Device) -> None:
    known_feed(URL, title="Slow Radio")
    old, other = "https://old.example/feed", known_feed("https://example.org/2.xml", title="Fast Radio")
    follow(phone, old)
    feed = Feed.objects.get(url=URL)

    def enrich(**fields: object) -> None:
        EnrichedPodcast.objects.update_or_create(url=URL, defaults=fields)

    key = FeedAlias.objects.get(url=URL).feed_key
    changes: dict[str, Callable[[], object]] = {
        "found": lambda: known_as(feed, old),
        "renamed": lambda: Feed.objects.filter(pk=feed.pk).update(title="Slower Radio"),
        "new cover": lambda: Feed.objects.filter(pk=feed.pk).update(cover_url="https://example.org/1.png"),
        "moved": lambda: Feed.objects.filter(pk=feed.pk).update(url="https://example.org/new.xml"),
        "enriched": lambda: enrich(feed_key=key, slug="slow", note="One"),
        "enriched again": lambda: enrich(note="Two"),
        "enriched no more": lambda: EnrichedPodcast.objects.all().delete(),
        "its address is another's": lambda: FeedAlias.objects.filter(url=old).update(feed=other),
        "its address is no more": lambda: FeedAlias.objects.filter(url=old).delete(),
    }
    before = phone.get("subscriptions").content
    for name, change in changes.items():
        change()
        now = phone.get("subscriptions").content
        assert now != before, name
        subscriptions.place_of.cache_clear()
        assert phone.get("subscriptions").content == now, name
        before = now


def test_merged_feeds_show_the_one_that_is_kept_until_they_are_parted(phone: Device) -> None:
    feed, kept = read_feed(A, ["1", "2", "3"]), read_feed(B, ["1", "2", "3"])
    Feed.objects.filter(pk=feed.pk).update(title="The first")
    Feed.objects.filter(pk=kept.pk).update(title="The second")
    follow(phone, A, B)
    assert sorted(map(str, titles(phone))) == ["The first", "The second"]
    merge(feed.pk, kept.pk, "operator", NOON)
    assert titles(phone) == ["The second", "The second"]
    unmerge(A, NOON)
    assert sorted(map(str, titles(phone))) == ["The first", "The second"]


def test_changes_of_other_processes_count_from_their_commit_in_whatever_order(phone: Device) -> None:
    urls = [URL, "https://example.org/2.xml"]
    for url in urls:
        known_feed(url, title="old")
    follow(phone, *urls)
    version = queries.version()
    with connect("system") as first, connect("system") as second:
        for connection, url in ((first, urls[0]), (second, urls[1])):
            begin(connection, "new", url)
        assert (titles(phone), queries.version()) == (["old", "old"], version)
        second.execute("COMMIT")
        assert sorted(map(str, titles(phone))) == ["new", "old"]
        begin(second, "newer", urls[1])
        first.execute("COMMIT")
        assert titles(phone) == ["new", "new"]
        second.execute("ROLLBACK")
        assert titles(phone) == ["new", "new"]


def begin(connection: Connection, title: str, url: str) -> None:
    connection.execute("BEGIN")
    connection.execute(RENAME, [title, url])


def test_own_writes_and_those_of_the_other_device_are_in_the_next_answer(
    phone: Device, tablet: Device
) -> None:
    known_feed(URL, title="Slow Radio")
    known_feed("https://example.org/2.xml", title="Fast Radio")
    follow(phone, URL)
    assert titles(phone) == titles(tablet) == ["Slow Radio"]
    follow(tablet, "https://example.org/2.xml")
    assert sorted(map(str, titles(phone))) == ["Fast Radio", "Slow Radio"]
    written = phone.delete(f"subscriptions/{feed_of_url(URL)}")
    bring_up_to_date()
    position = written.headers["Balados-Position"]
    page = phone.get("subscriptions", Balados_Position=position)
    assert [one["rss_feed_title"] for one in document(page)["subscriptions"]] == ["Fast Radio"]
    assert page.headers["Balados-Position"] == position


def test_a_secret_feed_is_only_in_the_list_of_who_follows_it(phone: Device, bobs: Device) -> None:
    known_feed(URL, title="For members", is_secret=True)
    follow(phone, URL)
    follow(bobs, URL)
    everything = "?include=removed"
    assert titles(phone, everything) == titles(bobs, everything) == ["For members"]
    bobs.delete(f"subscriptions/{feed_of_url(URL)}")
    bring_up_to_date()
    assert (titles(phone, everything), titles(bobs, everything)) == (["For members"], [None])
    assert (titles(phone), titles(bobs)) == (["For members"], [])


def test_a_feed_that_becomes_secret_is_hidden_from_who_has_left_it(phone: Device) -> None:
    known_feed(URL, title="Slow Radio")
    follow(phone, URL)
    phone.delete(f"subscriptions/{feed_of_url(URL)}")
    bring_up_to_date()
    assert titles(phone, "?include=removed") == ["Slow Radio"]
    Feed.objects.update(is_secret=True)
    assert titles(phone, "?include=removed") == [None]
