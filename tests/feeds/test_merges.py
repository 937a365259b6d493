"""Two feeds that are merged, and separated again."""

import pytest

from eventstore.domain.identifiers import feed_of_url, item_of
from feeds import moves
from feeds.keys import item_hash
from feeds.merges import NotMergeable, merge, unmerge
from feeds.models import Episode, EpisodeItem, Feed, FeedAlias, FeedMove, FeedSchedule
from feeds.moves import Settled
from feeds.queries import episodes_of, feeds_of
from tests.feeds.shows import DAY, GUID, HOUR, NOON, A, B, C, aliases, at_address, read

pytestmark = pytest.mark.usefixtures("stores")

SHARED, OLD, NEW = ["1", "2", "3"], ["old"], ["new"]
# the GUID and enclosure that the first shared episode had in an older document of the older feed
ONCE = ("once", f"{A}/once.mp3")


def pair() -> tuple[Feed, Feed]:
    """An older feed, and another one that has mostly the same episodes."""
    feed = read(A, [*SHARED, *OLD], at=NOON - DAY, podcast_guid=GUID)
    first = Episode.objects.get(feed=feed, guid="1")
    EpisodeItem.objects.create(item_hash=item_hash(feed.pk, *ONCE), feed=feed, episode=first)
    return feed, read(B, [*NEW, *SHARED])


def titles(url: str, *items: tuple[str, str]) -> list[str]:
    """The GUIDs of the episodes that pairs of GUID and enclosure lead to, under an address of their feed."""
    name = feed_of_url(url)
    wanted = [(name, item_of(guid, enclosure)) for guid, enclosure in items]
    found = episodes_of(wanted, feeds_of([name]))
    return [found[one].guid for one in wanted]


def everything() -> list[object]:
    """All rows, without the columns that record that there was a merge."""
    feeds = Feed.objects.order_by("id").values("id", "uid", "url", "state", "merged_into", "first_seen_at")
    return [
        *feeds,
        *FeedAlias.objects.order_by("url").values("url", "feed_id", "reason"),
        *Episode.objects.order_by("id").values("id", "feed_id", "key", "gone_at", "merged_from"),
        *FeedSchedule.objects.order_by("feed_id").values("feed_id", "host", "slot"),
        *EpisodeItem.objects.order_by("item_hash").values(
            "item_hash", "feed_id", "episode_id", "merged_from"
        ),
    ]


def test_addresses_episodes_and_item_ids_of_both_lead_to_the_one_that_is_kept() -> None:
    feed, kept = pair()
    uid = feed.uid
    merge(feed.pk, kept.pk, "operator", NOON)
    kept.refresh_from_db()
    assert at_address(A) == at_address(B) == kept
    assert (kept.uid, kept.first_seen_at, kept.version) == (uid, NOON - DAY, 1)
    assert aliases(kept) == {A: "operator", B: "typed"}
    for url in (A, B):
        pairs = [(guid, f"{at}/{guid}.mp3") for at in (A, B) for guid in SHARED]
        pairs += [("old", f"{A}/old.mp3"), ("new", f"{B}/new.mp3")]
        assert titles(url, *pairs) == [*SHARED, *SHARED, "old", "new"]
        assert titles(url, ONCE) == ["1"]
    # the merged feed is no longer fetched
    assert list(FeedSchedule.objects.values_list("feed_id", flat=True)) == [kept.pk]


def test_what_only_the_other_had_is_found_but_is_no_episode_of_the_kept_one() -> None:
    feed, kept = pair()
    merge(feed.pk, kept.pk, "operator", NOON)
    listed = Episode.objects.filter(feed=kept, gone_at=None).values_list("guid", flat=True)
    assert sorted(listed) == sorted([*NEW, *SHARED])
    assert Episode.objects.get(guid="old").feed_id == kept.pk


@pytest.mark.parametrize("older_is_kept", [True, False])
def test_what_was_merged_is_parted_as_it_was_and_not_made_one_again(older_is_kept: bool) -> None:
    feed, kept = pair()
    if older_is_kept:
        feed, kept = kept, feed
    before = everything()
    merge(feed.pk, kept.pk, "merged", NOON)
    assert everything() != before
    Feed.objects.update(podcast_guid=GUID, changed_at=NOON)
    assert unmerge(feed.url, NOON) == kept.url
    assert everything() == before
    assert FeedMove.objects.get().decided == "refused"
    assert moves.settle(NOON) == Settled()
    with pytest.raises(NotMergeable):
        unmerge(feed.url, NOON)


def test_of_three_that_became_one_the_last_two_are_parted_first() -> None:
    feeds = [read(url, [*SHARED, url], at=NOON + number * DAY) for number, url in enumerate((A, B, C))]
    one, two, three = feeds
    before = everything()
    merge(one.pk, two.pk, "merged", NOON)
    between = everything()
    merge(two.pk, three.pk, "merged", NOON + HOUR)
    assert {at_address(url).pk for url in (A, B, C)} == {three.pk}
    assert Feed.objects.filter(merged_into=three).count() == 2
    with pytest.raises(NotMergeable, match="undo that first"):
        unmerge(A, NOON)
    unmerge(B, NOON)
    assert everything() == between
    unmerge(A, NOON)
    assert everything() == before


def test_a_feed_may_move_to_the_address_of_one_that_was_merged() -> None:
    feed, kept = pair()
    merge(feed.pk, kept.pk, "merged", NOON)
    moves.move(kept.pk, A, "moved", NOON)
    assert at_address(A).url == at_address(B).url == A


def test_only_two_public_feeds_become_one() -> None:
    feed, kept = pair()
    secret = read("https://www.patreon.com/rss/show?auth=Zk3rTq8wLm5vXc2yBn7d", SHARED)
    third = read(C, SHARED)
    merge(third.pk, kept.pk, "merged", NOON)
    for one, other in [
        (feed, feed),
        (feed, secret),
        (secret, feed),
        (third, feed),
        (feed, third),
    ]:
        before = everything()
        with pytest.raises(NotMergeable):
            merge(one.pk, other.pk, "operator", NOON)
        assert everything() == before
