"""What a document changes in the rows of its feed, and what it must not change."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.db import connections, transaction

from eventstore.domain.identifiers import feed_of_url
from feeds import episodes as storing
from feeds.documents import Document
from feeds.episodes import Intake, Stored, StoredMeanwhile, store
from feeds.keys import item_hash
from feeds.models import Episode, EpisodeItem
from feeds.read import read
from feeds.store import ensure, execute
from tests.feeds.pumping import FIRST, feed, item, rss, show, titles, versions

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
pytestmark = pytest.mark.usefixtures("stores")


class Show:
    """A feed that is stored from one document after another, at the times of the test's clock."""

    def __init__(self, url: str = "https://show.example/feed") -> None:
        (self.id,) = ensure([feed_of_url(url)], NOW).new
        self.url = url
        self.now = NOW
        self.episodes = 0
        self.shrunk = False

    def intake(self, body: bytes) -> tuple[Intake, Document]:
        intake = Intake(self.id)
        return intake, read(body, content_type="application/rss+xml", url=self.url, begin=intake.begin)

    def store(self, intake: Intake, document: Document) -> Stored:
        with transaction.atomic(using="system"):
            stored = store(
                intake,
                document,
                self.now,
                episodes_before=self.episodes,
                was_shrunk=self.shrunk,
                reader=1,
            )
        self.episodes, self.shrunk = stored.episodes, stored.shrunk
        return stored

    def get(self, body: bytes, *, after: timedelta = timedelta(hours=1)) -> Stored:
        self.now += after
        return self.store(*self.intake(body))

    def item(self, guid: str, enclosure: str) -> str | None:
        """The title of the episode to which a client's item id leads."""
        rows = EpisodeItem.objects.filter(item_hash=item_hash(self.id, guid, enclosure))
        return rows.values_list("episode__title", flat=True).first()


def mp3(number: int) -> str:
    return f"https://audio.example/{number}.mp3"


def test_every_value_of_channel_and_episode_is_stored() -> None:
    show_, body = Show(), rss(
        item(1),
        title="The show",
        more='<language>fr</language><itunes:type xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd">'
        "serial</itunes:type>",
    )  # fmt: skip
    assert show_.get(body).written == 1
    stored, episode = feed(show_.id), Episode.objects.get()
    assert (stored.title, stored.language, stored.kind, stored.link) == (
        *("The show", "fr", "serial", "https://show.example/"),
    )
    assert (stored.episode_count, stored.newest_at, stored.changed_at) == (1, FIRST + DAY, show_.now)
    assert (episode.title, episode.guid, episode.enclosure_url) == ("Episode 1", "guid-1", mp3(1))
    assert (episode.published_at, episode.sort_at, episode.first_seen_at) == (
        *(FIRST + DAY, FIRST + DAY, show_.now),
    )
    assert (episode.enclosure_type, episode.enclosure_length) == ("audio/mpeg", 9)
    assert show_.item("guid-1", mp3(1)) == "Episode 1"


@pytest.mark.parametrize("count", [1, 49, 50, 400])
def test_few_rows_and_many_are_stored_alike(count: int) -> None:
    show_ = Show()
    assert show_.get(show(*range(count))).written == count
    assert titles(show_.id) == [f"Episode {number}" for number in reversed(range(count))]
    assert EpisodeItem.objects.count() == count
    before = versions(show_.id)
    assert show_.get(show(*range(count))).written == 0
    assert versions(show_.id) == before
    assert feed(show_.id).version == 1


def test_a_channel_that_changes_writes_no_episode() -> None:
    show_ = Show()
    show_.get(show(1, 2))
    before = versions(show_.id)
    show_.get(show(1, 2, title="Another name"))
    assert versions(show_.id) == before
    assert (feed(show_.id).title, feed(show_.id).version) == ("Another name", 2)


def test_what_is_missing_within_the_document_is_gone_and_comes_back() -> None:
    show_ = Show()
    show_.get(show(1, 2, 3, 4, 5))
    assert show_.get(show(1, 2, 4, 5)).written == 1
    assert titles(show_.id) == ["Episode 5", "Episode 4", "Episode 2", "Episode 1"]
    assert Episode.objects.get(title="Episode 3").gone_at == show_.now
    assert (feed(show_.id).episode_count, feed(show_.id).version) == (4, 2)
    assert show_.get(show(1, 2, 4, 5)).written == 0
    show_.get(show(1, 2, 3, 4, 5))
    assert Episode.objects.get(title="Episode 3").gone_at is None
    assert (feed(show_.id).episode_count, feed(show_.id).version) == (5, 3)


def test_a_feed_that_shows_its_newest_only_loses_nothing() -> None:
    show_ = Show()
    show_.get(show(1, 2, 3, 4, 5))
    show_.get(show(3, 4, 5, 6))
    show_.get(show(6, 7, 8))
    assert len(titles(show_.id)) == feed(show_.id).episode_count == 8


def test_a_document_with_under_half_of_the_episodes_waits_for_another_that_says_so() -> None:
    show_ = Show()
    everything, some = show(*range(1, 11)), rss(item(1), item(10))
    show_.get(everything)
    assert show_.get(some).shrunk
    assert len(titles(show_.id)) == 10
    assert not show_.get(everything).shrunk
    show_.get(some)
    assert len(titles(show_.id)) == 10, "it was whole again in between"
    stored = show_.get(some)
    assert (stored.shrunk, stored.episodes) == (False, 2)
    assert titles(show_.id) == ["Episode 10", "Episode 1"]


def test_a_damaged_document_adds_and_changes_but_nothing_is_gone_by_it() -> None:
    show_ = Show()
    show_.get(show(1, 2, 3))
    cut = rss(item(4), item(2, title="Changed"), item(1))[:-40]
    for _ in range(3):
        show_.get(cut)
    assert titles(show_.id) == ["Episode 4", "Episode 3", "Changed", "Episode 1"]
    assert show_.episodes == 3


def test_all_enclosures_may_move_and_what_clients_knew_still_leads_there() -> None:
    show_ = Show()
    show_.get(show(1, 2, 3))
    moved = rss(*(item(number, enclosure=f"https://cdn.example/{number}.mp3") for number in (3, 2, 1)))
    assert show_.get(moved).written == 3
    assert Episode.objects.count() == 3
    for number in (1, 2, 3):
        assert show_.item(f"guid-{number}", mp3(number)) == f"Episode {number}"
        assert show_.item(f"guid-{number}", f"https://cdn.example/{number}.mp3") == f"Episode {number}"


def test_all_guids_may_change_and_there_is_no_second_set_of_episodes() -> None:
    show_ = Show()
    show_.get(show(1, 2, 3))
    ids = set(Episode.objects.values_list("pk", flat=True))
    renamed = rss(*(item(number, guid=f"new-{number}") for number in (3, 2, 1)))
    show_.get(renamed)
    assert set(Episode.objects.values_list("pk", flat=True)) == ids
    assert feed(show_.id).episode_count == 3
    assert sorted(Episode.objects.values_list("guid", flat=True)) == ["new-1", "new-2", "new-3"]
    assert show_.item("guid-1", mp3(1)) == show_.item("new-1", mp3(1)) == "Episode 1"
    assert show_.get(renamed).written == 0


def test_an_enclosure_that_several_have_tells_no_episode_from_another() -> None:
    show_ = Show()
    show_.get(rss(item(1, enclosure=mp3(0)), item(2, enclosure=mp3(0)), item(3)))
    show_.get(rss(item(4, enclosure=mp3(0)), item(5, enclosure=mp3(3)), item(1, guid="x", enclosure=mp3(3))))
    assert Episode.objects.count() == 6


def test_an_old_episode_that_is_repeated_years_later_stays_what_it_was() -> None:
    show_ = Show()
    show_.get(show(1, 2, 3))
    show_.get(rss(item(5, enclosure=mp3(1)), item(4), item(3)))
    assert Episode.objects.filter(enclosure_url=mp3(1)).count() == 2
    assert show_.item("guid-1", mp3(1)) == "Episode 1"


def test_a_guid_that_is_there_twice_names_two_episodes_and_is_told() -> None:
    show_ = Show()
    twice = rss(item(1), item(2, guid="guid-1"), item(3), item(3))
    show_.get(twice)
    assert titles(show_.id) == ["Episode 3", "Episode 2", "Episode 1"]
    assert feed(show_.id).warnings == ["repeated_guid"]
    assert show_.get(twice).written == 0
    assert (show_.item("guid-1", mp3(1)), show_.item("guid-1", mp3(2))) == ("Episode 1", "Episode 2")


def test_the_same_guid_in_two_feeds_is_two_episodes() -> None:
    one, other = Show(), Show("https://other.example/feed")
    one.get(show(1))
    other.get(rss(item(1, title="Another")))
    assert (one.item("guid-1", mp3(1)), other.item("guid-1", mp3(1))) == ("Episode 1", "Another")


def test_texts_that_change_at_every_fetch_are_written_so_often_in_a_month_and_no_more() -> None:
    show_ = Show()
    show_.get(rss(item(1)))
    written = [
        show_.get(rss(item(1, description=f"{number} people like this"))).written for number in range(40)
    ]
    assert written == [1] * 24 + [0] * 16
    show_.get(rss(item(1, title="A new title", description="42 people like this")))
    assert titles(show_.id) == ["A new title"]
    assert show_.get(rss(item(1, title="A new title", description="43"))).written == 0
    assert show_.get(rss(item(1, title="A new title", description="44")), after=30 * DAY).written == 1


def test_a_feed_that_alternates_between_two_documents_keeps_one_set_of_episodes() -> None:
    show_ = Show()
    one = rss(*(item(number, description=f"From A, {number}") for number in (3, 2, 1)))
    other = rss(*(item(number, description=f"From B, {number}") for number in (3, 2, 1)))
    show_.get(one)
    ids = [pk for pk, _ in versions(show_.id)]
    written = [show_.get(other if number % 2 else one).written for number in range(1, 40)]
    assert written == [3] * 24 + [0] * 15
    assert [pk for pk, _ in versions(show_.id)] == ids
    assert titles(show_.id) == ["Episode 3", "Episode 2", "Episode 1"]


def test_episodes_are_sorted_by_date_whatever_the_order_in_the_document() -> None:
    show_ = Show()
    show_.get(rss(item(2), item(4), item(1), item(3)))
    assert titles(show_.id) == ["Episode 4", "Episode 3", "Episode 2", "Episode 1"]


def test_a_date_in_the_future_puts_nothing_on_top() -> None:
    show_ = Show()
    future = format_datetime(NOW + 400 * DAY)
    show_.get(rss(item(1, date=future), item(2)))
    episode = Episode.objects.get(title="Episode 1")
    assert episode.sort_at <= show_.now
    assert episode.published_at == NOW + 400 * DAY
    first_seen = episode.first_seen_at
    newer = item(3, date=format_datetime(show_.now + timedelta(hours=2)))
    show_.get(rss(newer, item(1, date=future), item(2)), after=DAY)
    assert titles(show_.id) == ["Episode 3", "Episode 1", "Episode 2"]
    show_.get(rss(item(1, date=future, title="Still to come")), after=DAY)
    assert Episode.objects.get(title="Still to come").sort_at == first_seen


def test_without_dates_the_order_of_the_document_is_kept_and_nothing_is_gone() -> None:
    show_ = Show()
    show_.get(rss(*(item(number, date=None) for number in (3, 2, 1))))
    assert titles(show_.id) == ["Episode 3", "Episode 2", "Episode 1"]
    show_.get(rss(*(item(number, date=None) for number in (4, 3, 2))))
    assert titles(show_.id) == ["Episode 4", "Episode 3", "Episode 2", "Episode 1"]


def test_a_feed_without_episodes_is_one() -> None:
    show_ = Show()
    assert show_.get(rss()) == Stored(0, [], 0, False, [])
    assert (feed(show_.id).title, feed(show_.id).newest_at) == ("Show", None)


def test_only_so_many_episodes_are_kept_those_that_are_gone_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "MOST_KEPT", 5)
    show_ = Show()
    show_.get(show(1, 2, 3, 4))
    show_.get(show(1, 2, 4))
    show_.get(show(4, 5, 6))
    assert set(Episode.objects.values_list("title", flat=True)) == {f"Episode {n}" for n in (1, 2, 4, 5, 6)}
    show_.get(show(5, 6, 7, 8))
    assert set(Episode.objects.values_list("title", flat=True)) == {f"Episode {n}" for n in (4, 5, 6, 7, 8)}
    assert feed(show_.id).episode_count == len(titles(show_.id)) == 5
    assert EpisodeItem.objects.count() == 5


def test_two_workers_on_one_feed_end_with_one_result() -> None:
    show_ = Show()
    show_.get(show(1, 2))
    slow = show_.intake(show(1, 2, 3))
    show_.get(show(1, 2, 3, 4))
    before = versions(show_.id)
    with pytest.raises(StoredMeanwhile):
        show_.store(*slow)
    assert versions(show_.id) == before
    assert len(titles(show_.id)) == 4


def test_many_at_once_on_one_feed_bear_each_other() -> None:
    show_ = Show()
    barrier, ended = threading.Barrier(4), list[str]()

    def work() -> None:
        try:
            mine = show_.intake(show(*range(60)))
            barrier.wait(60)
            with transaction.atomic(using="system"):
                store(*mine, NOW, episodes_before=0, was_shrunk=False, reader=1)
            ended.append("stored")
        except StoredMeanwhile:
            ended.append("late")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["late", "late", "late", "stored"]
    assert Episode.objects.count() == 60


def test_how_late_it_was_stored_is_told_of_what_is_new_in_a_feed_that_was_known() -> None:
    show_ = Show()
    assert show_.get(show(1)).delays == []
    published = NOW + DAY
    new = [item(2, date=format_datetime(published)), item(3, date=format_datetime(NOW - 30 * DAY)), item(1)]
    show_.now = published
    assert show_.get(rss(*new), after=timedelta(minutes=7)).delays == [420.0]


@pytest.fixture
def statements() -> Callable[[Callable[[], Any]], int]:
    """A function that counts the statements that an act sends to the store."""

    def count(act: Callable[[], Any]) -> int:
        sent: list[str] = []
        original = execute

        def noted(statement: str, *parameters: Any) -> Any:
            sent.append(statement)
            return original(statement, *parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storing, "execute", noted)
            act()
        return len(sent)

    return count


def test_an_unchanged_feed_costs_the_same_few_statements_whatever_its_size(
    statements: Callable[[Callable[[], Any]], int],
) -> None:
    small, large = Show("https://show.example/small"), Show("https://show.example/large")
    few, many = show(1, 2, 3), show(*range(300))
    small.get(few)
    large.get(many)
    assert statements(lambda: small.get(few)) == statements(lambda: large.get(many)) == 5
