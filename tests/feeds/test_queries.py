"""Looking up the feeds and episodes that apps name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore.domain.identifiers import feed_of_url, item_of
from feeds.models import Feed
from feeds.queries import EpisodeShown, episodes_of, feeds_for, feeds_of, public_feeds
from projections.connect import run
from tests.feeds.known import NOW, known_as, known_episode, known_feed, known_item
from tests.projecting import bring_up_to_date
from tests.projections.histories import record, subscribed, unsubscribed

pytestmark = pytest.mark.usefixtures("stores")
URL = "https://example.org/1.xml"
FEED, OTHER = feed_of_url(URL), feed_of_url("https://example.org/2.xml")
SECRET = feed_of_url("https://www.patreon.com/rss/show?auth=secret")
MP3 = "https://cdn.example/1.mp3"


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The list of SQL statements that were run in the block."""
    seen: list[str] = []

    def counted(statement: str, *args: Any) -> Any:
        seen.append(statement)
        return run(statement, *args)

    with monkeypatch.context() as patch:
        patch.setattr("feeds.queries.run", counted)
        yield seen


def episode_of(feed: str, guid: str, enclosure: str = "") -> EpisodeShown | None:
    name = feed, item_of(guid, enclosure)
    return episodes_of([name], feeds_of([feed])).get(name)


def test_a_feed_is_known_by_each_of_its_addresses_and_others_are_not() -> None:
    feed = known_feed(URL, title="Slow Radio", author="Ann", language="en")
    moved = known_as(feed, "https://old.example/feed", "moved")
    found = feeds_of([FEED, moved, OTHER, None])
    assert found.keys() == {FEED, moved}
    assert {one.title for one in found.values()} == {"Slow Radio"}
    assert (found[FEED].uid, found[FEED].author, found[FEED].language) == (feed.uid, "Ann", "en")
    assert (found[FEED].moved_to, found[moved].moved_to) == (None, URL)
    assert found[FEED].state(NOW).code == "ok"


def test_a_merged_feed_answers_as_what_it_was_merged_into() -> None:
    feed, other = known_feed(URL, title="The one"), known_feed("https://example.org/2.xml", title="The other")
    old = known_episode(other, "1", MP3, title="Kept")
    Feed.objects.using("system").filter(pk=other.pk).update(merged_into=feed, state="merged")
    old.items.using("system").update(feed=feed)
    type(old).objects.using("system").filter(pk=old.pk).update(feed=feed)
    assert feeds_of([OTHER])[OTHER].title == "The one"
    for name in (FEED, OTHER):
        shown = episode_of(name, "", MP3) or episode_of(name, "1", MP3)
        assert shown is not None
        assert shown.title == "Kept"


def test_an_episode_is_found_by_its_guid_and_by_each_pair_that_its_feed_ever_gave() -> None:
    feed = known_feed()
    episode = known_episode(feed, "1", MP3, title="One")
    known_item(episode, "old-guid", "https://old.example/1.mp3")
    without = known_episode(feed, "", "https://cdn.example/two%20words.mp3", title="")
    for guid, enclosure in (("1", MP3), ("1", "https://elsewhere.example/x.mp3"), ("1", "")):
        shown = episode_of(FEED, guid, enclosure)
        assert shown is not None
        assert (shown.id, shown.title) == (episode.pk, "One")
    old = episode_of(FEED, "old-guid", "https://old.example/1.mp3")
    assert old is not None
    assert old.id == episode.pk
    untitled = episode_of(FEED, "", "https://cdn.example/two%20words.mp3")
    assert untitled is not None
    assert (untitled.id, untitled.title) == (without.pk, "two words.mp3")
    assert episode_of(FEED, "2") is None
    assert episode_of(OTHER, "1", MP3) is None


def test_the_exact_pair_decides_between_two_episodes_with_one_guid() -> None:
    feed = known_feed()
    first = known_episode(feed, "1", MP3, title="First")
    second = known_episode(feed, "1", "https://cdn.example/2.mp3", title="Second", key=b"another")
    found = episode_of(FEED, "1", MP3), episode_of(FEED, "1", "https://cdn.example/2.mp3")
    assert [one and one.id for one in found] == [first.pk, second.pk]


def test_a_page_of_rows_takes_one_statement_for_feeds_and_one_for_episodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed = known_feed()
    for number in range(20):
        known_episode(feed, str(number), title=f"Episode {number}")
    names = [(FEED, item_of(str(number), "")) for number in range(30)]
    with counting(monkeypatch) as statements:
        found = episodes_of(names, feeds_of(feed for feed, _ in names))
    assert len(found) == 20
    assert found[names[7]].title == "Episode 7"
    assert len(statements) == 2
    with counting(monkeypatch) as statements:
        assert episodes_of(names, feeds_of([])) == {}
    assert statements == []


def test_a_secret_feed_is_for_who_follows_it_and_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    known_feed("https://www.patreon.com/rss/show?auth=secret", title="For members", is_secret=True)
    known_feed(URL, title="For all")
    alice, bob = uuid4(), uuid4()
    record(subscribed(alice, SECRET))
    bring_up_to_date()

    def titles(user_id: UUID) -> set[str]:
        return {feed.title for feed in feeds_for(user_id, [FEED, SECRET]).values()}

    assert titles(alice) == {"For all", "For members"}
    assert titles(bob) == {"For all"}
    assert {feed.title for feed in public_feeds([FEED, SECRET]).values()} == {"For all"}
    record(unsubscribed(alice, SECRET, at=1))
    bring_up_to_date()
    assert titles(alice) == {"For all"}
    with counting(monkeypatch) as statements:
        feeds_for(alice, [FEED])
    assert len(statements) == 1


def test_a_feed_that_its_publisher_blocks_is_not_public() -> None:
    known_feed(URL, title="Blocked", blocked=True)
    assert public_feeds([FEED]) == {}
    assert feeds_for(uuid4(), [FEED])[FEED].title == "Blocked"
