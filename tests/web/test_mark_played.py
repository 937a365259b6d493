"""/podcasts/{feed}/older: marking older episodes as played, and undoing that exactly."""

import re
from datetime import UTC, datetime, timedelta

from accounts.models import User
from eventstore import log
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import episode_key
from feeds.models import Feed
from tests.feeds.known import known_episode
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import follow, hear, page_of, show
from tests.web.people import Visitor, text_of
from tests.web.test_privacy_choice import undo_of
from web.addresses import in_path


def statuses(user: User, feed: Feed) -> dict[str, tuple[int, bool]]:
    """Return position and played by GUID, for the episodes that have a play status."""
    plays = state_of(user.pk).read_whole().plays
    found = {}
    for episode in feed.episodes.all():
        play = plays.get(episode_key(name_of(feed), item_name(episode)))
        if play is not None:
            found[episode.guid] = (play.position, play.played)
    return found


def a_show_in_all_states(user: User) -> Feed:
    """Create a show with episodes of now, ten days and two years ago, one in progress and one played."""
    feed = show(1, 3)
    for guid, days in (("old", 10), ("older", 700)):
        at = datetime.now(UTC) - timedelta(days=days)
        known_episode(
            feed, guid, f"https://audio.example/{guid}.mp3", title=guid, published_at=at, sort_at=at
        )
    follow(user, feed)
    hear(user, feed.episodes.get(guid="1-0"), 754)
    hear(user, feed.episodes.get(guid="1-1"), 1_800, played=True)
    bring_up_to_date()
    return feed


def shown_after(visitor: Visitor, path: str) -> str:
    """Return the text of a page after the read models were brought up to date."""
    bring_up_to_date()
    return text_of(visitor.get(path))


def test_each_choice_says_how_many_it_marks(alice: User) -> None:
    feed = a_show_in_all_states(alice)
    page = re.sub(r"<[^>]+>", "", text_of(Visitor(alice).get(f"{page_of(feed)}/older")))
    for choice in ("Older than a week · 2 ep", "Older than a year · 1 ep", "All of them · 4 ep"):
        assert choice in page
    item = in_path(item_name(feed.episodes.get(guid="1-1")))
    pointed = re.sub(r"<[^>]+>", "", text_of(Visitor(alice).get(f"{page_of(feed)}/older", {"item": item})))
    assert "This one and older · 3 ep" in pointed


def test_marking_is_one_append_and_its_undo_puts_back_exactly_what_was(alice: User) -> None:
    feed = a_show_in_all_states(alice)
    visitor, before = Visitor(alice), statuses(alice, feed)
    stream = log.stream_of(alice.pk)
    head = log.read_history(stream, limit=1)[0].version
    answer = visitor.send(f"{page_of(feed)}/older", {"which": "all"})
    assert answer["Location"] == page_of(feed)
    assert [row.type for row in log.read_stream(stream, after=head)] == ["PlayRecorded"] * 4
    assert {played for _, played in statuses(alice, feed).values()} == {True}
    page = shown_after(visitor, page_of(feed))
    assert "4 episodes are marked as played." in page
    visitor.send(undo_of(page), {})
    after = statuses(alice, feed)
    assert {guid: after[guid] for guid in before} == before
    # a play that was recorded cannot be removed: these episodes are as if they had never been started
    assert {after[guid] for guid in after.keys() - before} == {(0, False)}
    bring_up_to_date()
    listed = visitor.get(page_of(feed), {"unplayed": "on"})
    assert text_of(listed).count('<li class="row') == 4


def test_an_undo_leaves_alone_what_was_done_since(alice: User) -> None:
    feed = a_show_in_all_states(alice)
    visitor = Visitor(alice)
    visitor.send(f"{page_of(feed)}/older", {"which": "week"})
    page = shown_after(visitor, page_of(feed))
    assert "2 episodes are marked as played." in page
    episode = feed.episodes.get(guid="old")
    visitor.send(
        f"/episodes/{in_path(item_name(episode))}/unplayed?feed={in_path(name_of(feed))}&position=99", {}
    )
    visitor.send(undo_of(page), {})
    assert statuses(alice, feed)["old"] == (99, False)
    assert statuses(alice, feed)["older"] == (0, False)


def test_marking_twice_marks_once(alice: User) -> None:
    feed = a_show_in_all_states(alice)
    visitor = Visitor(alice)
    for _ in range(2):
        visitor.send(f"{page_of(feed)}/older", {"which": "all"})
    version = log.read_history(log.stream_of(alice.pk), limit=1)[0].version
    assert "There was nothing to mark." in shown_after(visitor, page_of(feed))
    assert version == len(log.read_stream(log.stream_of(alice.pk)))
    assert "Everything here is marked as played already." in text_of(visitor.get(f"{page_of(feed)}/older"))


def test_what_was_never_offered_is_refused(alice: User, bob: User) -> None:
    feed = a_show_in_all_states(alice)
    secret = show(2, 1, is_secret=True)
    follow(alice, secret)
    older = f"{page_of(feed)}/older"
    for which in ("", "x", "this"):
        assert Visitor(alice).send(older, {"which": which}).status_code == 400
    for path in (f"{page_of(secret)}/older", f"{page_of('https://nobody.example/')}/older"):
        assert Visitor(bob).get(path).status_code == 404
        assert Visitor(bob).send(path, {"which": "all"}).status_code == 404
    for item in ("x", "bm9ib2R5LA"):
        assert Visitor(alice).get(older, {"item": item}).status_code == 404
