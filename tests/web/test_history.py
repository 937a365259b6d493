"""/history: what a listener did."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from msgspec import structs
from playwright.sync_api import Page, expect

from accounts.models import User
from eventstore import codec
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.batch import Batch
from eventstore.domain.checkpoint import IN_CHECKPOINT, NOT_STATE
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist
from eventstore.domain.plays import RecordPlay
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from feeds.models import Feed
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, NOW, hear, page_of_episode, show
from tests.web.people import Visitor, text_of
from tests.web.test_appearance import enter
from web import event_texts, history

PHONE = Origin("org.example.castaway", "1", "Pixel 9")


def lines(page: str) -> list[str]:
    """Return the first line of each event, without markup."""
    found = re.findall(r"<div>\s*<p>(.*?)</p>", page, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", each).strip() for each in found]


def live(user: User) -> None:
    """Follow a podcast, listen to an episode, and unfollow the podcast."""
    feed = show(1, 1)
    name, item = name_of(feed), item_name(feed.episodes.get())
    dispatch(Subscribe(user_id=user.pk, feed=name, now=NOW), Origin())
    for minute, (position, played) in enumerate([(0, False), (754, False), (1_800, True)]):
        at = NOW + timedelta(minutes=minute)
        dispatch(
            RecordPlay(user_id=user.pk, feed=name, item=item, position=position, played=played, now=at), PHONE
        )
    dispatch(Unsubscribe(user_id=user.pk, feed=name, now=NOW + timedelta(hours=1)), Origin())


def test_it_tells_what_was_done_the_newest_first(alice: User, bob: User) -> None:
    live(alice)
    page = text_of(Visitor(alice).get("/history"))
    assert lines(page) == [
        "Unfollowed · Show 1",
        "Played to the end · Episode 1-0",
        "Listened up to 12:34 · Episode 1-0",
        "Began · Episode 1-0",
        "Collection made: All podcasts",
        "Followed · Show 1",
    ]
    assert "20 November 2026, 21:15 UTC" in page
    assert "Pixel 9" in page
    assert page.count("replaced since") == 3
    assert "Nothing yet" in text_of(Visitor(bob).get("/history"))


def test_an_hour_of_listening_is_one_line_with_the_rest_below_it(alice: User) -> None:
    feed = show(1, 1)
    name, item = name_of(feed), item_name(feed.episodes.get())
    for number in range(6):
        at, origin = (
            NOW + timedelta(seconds=15 * number),
            Origin(device_name="Kitchen") if number == 3 else PHONE,
        )
        command = RecordPlay(
            user_id=alice.pk, feed=name, item=item, position=15 * number, played=False, now=at
        )
        dispatch(command, origin)
    page = text_of(Visitor(alice).get("/history"))
    assert lines(page)[:4] == [
        "Listened up to 1:15 · Episode 1-0",
        "Listened up to 0:45 · Episode 1-0",
        "Listened up to 0:30 · Episode 1-0",
        "Began · Episode 1-0",
    ]
    assert re.findall(r"<summary>([^<]*earlier[^<]*)", page) == ["1 earlier place", "1 earlier place"]
    assert re.findall(r'<li class="facts-line">Listened up to ([\d:]+)', page) == ["1:00", "0:15"]


def test_one_kind_is_shown_alone(alice: User) -> None:
    live(alice)
    page = text_of(Visitor(alice).get("/history", {"kind": "subscriptions"}))
    assert lines(page) == ["Unfollowed · Show 1", "Followed · Show 1"]
    assert "Nothing found" in text_of(Visitor(alice).get("/history", {"kind": "privacy"}))


def test_kind_device_and_podcast_narrow_it_together(alice: User) -> None:
    live(alice)
    other = show(2, 1)
    dispatch(Subscribe(user_id=alice.pk, feed=name_of(other), now=NOW), PHONE)
    visitor = Visitor(alice)
    asked = [
        ({"device": "d:Pixel 9"}, 4),
        ({"device": "a:org.example.castaway"}, 4),
        ({"device": "d:Pixel 9", "kind": "subscriptions"}, 1),
        ({"feed": name_of(other)}, 1),
        ({"feed": name_of(other), "kind": "plays"}, 0),
        ({"device": "d:Nokia"}, 0),
    ]
    for query, count in asked:
        assert len(lines(text_of(visitor.get("/history", query)))) == count, query
    page = text_of(visitor.get("/history", {"device": "d:Nokia", "feed": name_of(other)}))
    for option in (">Pixel 9 · org.example.castaway<", ">Show 1<", ">Show 2<", '"d:Nokia" selected'):
        assert option in page


def test_it_says_what_was_replaced(alice: User) -> None:
    live(alice)
    dispatch(ChangePrivacy(user_id=alice.pk, level="public", now=NOW), Origin())
    later = NOW + timedelta(hours=1)
    dispatch(ChangePrivacy(user_id=alice.pk, level="private", now=later), Origin())
    feed = name_of(Feed.objects.get())
    page = text_of(Visitor(alice).get("/history"))
    assert re.findall("before: ([^<]+)<", page) == ["public", "12:34", "at the beginning"]
    # an event that arrived late, with an earlier time, replaced nothing
    item = item_name(Feed.objects.get().episodes.get())
    order = RecordPlay(user_id=alice.pk, feed=feed, item=item, position=9, played=False, now=later)
    dispatch(structs.replace(order, at=NOW + timedelta(seconds=1)), PHONE)
    page = text_of(Visitor(alice).get("/history", {"kind": "plays"}))
    assert re.findall("before: ([^<]+)<", page) == ["12:34", "at the beginning"]


@pytest.mark.parametrize("kind", ["", "plays"])
def test_a_long_one_comes_in_pages_that_miss_none(
    alice: User, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(history, "PAGE", 2)
    live(alice)
    address, seen = f"/history?kind={kind}", []
    while address:
        page = text_of(Visitor(alice).get(address))
        seen += lines(page)
        following = re.search(r'href="([^"]*before=[^"]+)"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == (3 if kind else 6)


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "x"},
        {"before": "x"},
        {"before": "MA"},
        {"before": "LTE"},
        {"device": "x"},
        {"device": "d:" + "x" * 1_200},
        {"feed": "x"},
    ],
)
def test_what_no_page_gave_out_is_refused(alice: User, query: dict[str, str]) -> None:
    live(alice)
    assert Visitor(alice).get("/history", query).status_code == 400


def test_the_first_moment_that_there_is_can_be_shown_west_of_greenwich(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    feed, item, first = name_of(episode.feed), item_name(episode), datetime.min.replace(tzinfo=UTC)
    order = RecordPlay(user_id=alice.pk, feed=feed, item=item, position=5, played=False, now=NOW, at=first)
    dispatch(order, PHONE)
    bring_up_to_date()
    User.objects.update(time_zone="America/New_York")
    for page in ("/history", page_of_episode(episode)):
        assert Visitor(alice).get(page).status_code == 200, page


def test_privacy_is_told_by_its_level(alice: User) -> None:
    dispatch(ChangePrivacy(user_id=alice.pk, level="public", now=NOW), Origin(device_name=HOSTILE))
    page = text_of(Visitor(alice).get("/history"))
    assert lines(page) == ["Privacy set to public"]
    assert "<script>alert" not in page


def test_every_event_of_a_listener_has_words() -> None:
    by_match = {"PlayRecorded", "PositionUpdated", "PrivacyChanged", "EpisodeActionRecorded"}
    listeners = {name for name, (event, schema) in codec.EVENTS.items() if event in IN_CHECKPOINT | NOT_STATE}
    assert listeners <= by_match | event_texts.WORDS.keys()


def test_what_one_sync_adds_to_a_playlist_is_one_line_that_can_be_opened_and_undone(alice: User) -> None:
    feed, playlist = show(1, 5), uuid4()
    dispatch(CreatePlaylist(user_id=alice.pk, playlist_id=playlist, name="Trip", now=NOW), PHONE)
    added = tuple(
        AddToPlaylist(
            user_id=alice.pk, playlist_id=playlist, feed=name_of(feed), item=item_name(one), now=NOW, at=NOW
        )
        for one in feed.episodes.all()
    )
    dispatch(Batch(user_id=alice.pk, now=NOW, orders=added), PHONE)
    visitor = Visitor(alice)
    page = text_of(visitor.get("/history"))
    assert lines(page)[0] == "Added to “Trip” · 5 episodes"
    assert page.count('href="/episodes/') == 5
    undo = re.search(r'href="(/history/undo[?][^"]+)"', page)
    assert undo, page
    assert visitor.send(undo[1].replace("&amp;", "&"), {}).status_code == 302
    page = text_of(visitor.get("/history"))
    assert lines(page)[:2] == ["Undid: Added to a playlist · 5 episodes", "Added to “Trip” · 5 episodes"]
    assert '<span class="tag">undone</span>' in page


@pytest.mark.browser
def test_on_paper_there_is_nothing_to_be_pressed(page: Page, alice: User) -> None:
    hear(alice, show(1, 1).episodes.get(), 60)
    enter(page, "/history")
    expect(page.get_by_role("link", name="Undo what a device did…")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page.locator("main .button:visible")).to_have_count(0)
