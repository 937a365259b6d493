"""The hourly work on feeds: followers, changes that no message announced, feeds nobody follows, and hosts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connections

from eventstore.domain.identifiers import episode_key as named
from eventstore.domain.identifiers import feed_key_of, feed_of_url
from feeds import reconcile as hourly
from feeds.keys import episode_key
from feeds.models import Episode, Feed, FeedAlias, FeedHost, FeedSchedule
from feeds.reconcile import reconcile
from feeds.store import ensure
from projections.models import PlaylistItem, PlayStatus, SavedEpisode, Subscription

pytestmark = pytest.mark.usefixtures("stores")

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NEWS, SCIENCE, OLD = (feed_of_url(f"https://example.org/{name}.xml") for name in ("news", "science", "old"))
ALICE, BOB, CHARLIE = (UUID(int=number) for number in (1, 2, 3))


def follow(listener: UUID, feed: str, *, until: datetime | None = None) -> None:
    Subscription.objects.create(
        user_id=listener,
        feed_key=UUID(feed_key_of(feed)),
        rss_source_feed=feed,
        subscribed_at=NOON,
        unsubscribed_at=until,
    )


def followers() -> dict[str, int]:
    rows = FeedSchedule.objects.values_list("feed__url", "followers")
    return {feed_of_url(url): number for url, number in rows}


def test_a_feed_that_no_message_told_of_is_known_within_the_hour() -> None:
    follow(ALICE, NEWS)
    follow(BOB, SCIENCE, until=NOON + DAY)
    done = reconcile(NOON)
    assert (done.followed, done.unknown) == (1, 1)
    assert followers() == {NEWS: 1}
    assert FeedSchedule.objects.filter(next_at__range=(NOON, NOON + timedelta(minutes=10))).exists()


def test_followers_are_counted_over_pages_and_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourly, "PAGE", 2)
    ids = ensure([NEWS, SCIENCE, OLD], NOON).ids
    twin = feed_of_url("http://example.org/news.xml")
    FeedAlias.objects.create(
        feed_key=UUID(feed_key_of(twin)), url="http://example.org/news.xml", feed_id=ids[NEWS], reason="twin"
    )
    for listener in (ALICE, BOB, CHARLIE):
        follow(listener, NEWS)
    follow(ALICE, twin)
    follow(BOB, SCIENCE)
    follow(CHARLIE, OLD, until=NOON - DAY)
    follow(BOB, OLD, until=NOON + DAY)
    assert reconcile(NOON).unknown == 0
    assert followers() == {NEWS: 3, SCIENCE: 1, OLD: 1}
    Subscription.objects.filter(user_id=CHARLIE).delete()
    reconcile(NOON)
    assert followers() == {NEWS: 2, SCIENCE: 1, OLD: 0}


def test_what_nobody_follows_is_kept_fresh_for_a_month_and_comes_back_with_its_follower() -> None:
    follow(ALICE, NEWS)
    reconcile(NOON)
    Subscription.objects.all().delete()
    reconcile(NOON + DAY)
    assert reconcile(NOON + 30 * DAY).unwanted == 0
    assert reconcile(NOON + 32 * DAY).unwanted == 1
    assert FeedSchedule.objects.get().next_at is None
    follow(BOB, NEWS)
    assert reconcile(NOON + 40 * DAY).unknown == 0
    assert FeedSchedule.objects.filter(next_at__gte=NOON + 40 * DAY).exists()


def play(feed_id: int) -> None:
    item = "LGh0dHBzOi8vZXhhbXBsZS5vcmcvMS5tcDM="
    feed = feed_of_url(Feed.objects.get(pk=feed_id).url)
    key = UUID(named(feed, item))
    PlayStatus.objects.create(
        user_id=ALICE, item_key=key, rss_source_item=item, rss_source_feed=feed, position=1, played=False,
        updated_at=NOON,
    )  # fmt: skip


def save(feed_id: int) -> None:
    item = "LGh0dHBzOi8vZXhhbXBsZS5vcmcvMi5tcDM="
    feed = feed_of_url(Feed.objects.get(pk=feed_id).url)
    SavedEpisode.objects.create(
        user_id=ALICE, item_key=UUID(named(feed, item)), rss_source_item=item, rss_source_feed=feed
    )


def put_on_a_playlist(feed_id: int) -> None:
    item = "LGh0dHBzOi8vZXhhbXBsZS5vcmcvMy5tcDM="
    feed = feed_of_url(Feed.objects.get(pk=feed_id).url)
    PlaylistItem.objects.create(
        user_id=ALICE,
        playlist_id=UUID(int=9),
        item_key=UUID(named(feed, item)),
        rss_source_item=item,
        rss_source_feed=feed,
    )


def test_what_nobody_wanted_for_three_months_goes_but_not_what_a_listener_names() -> None:
    names = [feed_of_url(f"https://example.org/{number}.xml") for number in range(5)]
    ids = [ensure([name], NOON, asked=True).ids[name] for name in names]
    for feed_id in ids:
        Episode.objects.create(
            feed_id=feed_id, key=episode_key("1", ""), guid="1", sort_at=NOON, content_hash=b"x"
        )
    keep: list[Callable[[int], None]] = [play, save, put_on_a_playlist]
    for feed_id, name_it in zip(ids, keep, strict=False):
        name_it(feed_id)
    follow(BOB, names[3])
    assert reconcile(NOON + 89 * DAY).purged == 0
    assert reconcile(NOON + 91 * DAY).purged == 1
    assert set(Feed.objects.values_list("pk", flat=True)) == set(ids[:4])
    assert Episode.objects.count() == 4
    assert reconcile(NOON + 92 * DAY).purged == 0


def test_the_address_of_a_secret_feed_goes_with_the_last_who_names_it() -> None:
    secrets = [feed_of_url(f"https://example.org/rss?token={number}") for number in range(2)]
    known = ensure([*secrets, NEWS], NOON, asked=True).ids
    play(known[secrets[0]])
    hour = timedelta(hours=1)
    assert reconcile(NOON + hour / 2).purged == 0
    assert reconcile(NOON + 2 * hour).purged == 1
    assert set(Feed.objects.values_list("pk", flat=True)) == {known[secrets[0]], known[NEWS]}
    assert reconcile(NOON + 3 * hour).purged == 0


def test_hosts_are_counted_and_the_empty_ones_go() -> None:
    names = [feed_of_url(f"https://big.example.org/{number}.xml") for number in range(1_001)]
    ensure([*names, NEWS], NOON)
    FeedHost.objects.create(name="nobody.example")
    FeedHost.objects.create(name="paused.example", paused_until=NOON + DAY)
    reconcile(NOON)
    assert dict(FeedHost.objects.values_list("name", "feeds")) == {
        "big.example.org": 1_001,
        "example.org": 1,
        "paused.example": 0,
    }
    assert FeedHost.objects.get(name="big.example.org").connections == 6
    FeedHost.objects.filter(name="big.example.org").update(failed_at=NOON)
    reconcile(NOON + timedelta(hours=23))
    assert FeedHost.objects.get(name="big.example.org").connections == 2


def test_no_table_of_feeds_names_a_listener() -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute(
            """SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'system' AND column_name LIKE '%user%'
                  AND (table_name LIKE 'feed%' OR table_name LIKE 'episode%')"""
        )
        assert cursor.fetchall() == []
