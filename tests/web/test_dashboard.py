"""What a listener sees of his own."""

import base64
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import InvalidIdentifier, feed_of_url, normalise_item
from eventstore.domain.plays import RecordPlay
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from tests.feeds.known import known_episode, known_feed
from tests.projecting import bring_up_to_date
from tests.web.people import Visitor, text_of
from web import views
from web.words import clock, episode_name, feed_words

NOW = datetime(2026, 11, 20, 21, 15, tzinfo=UTC)
FEED = feed_of_url("https://feeds.example.org/slow-radio.xml")


def item(guid: str, enclosure: str = "") -> str:
    return normalise_item(base64.b64encode(f"{guid},{enclosure}".encode()).decode())


def play(user_id: UUID, episode: str, position: int = 0, played: bool = False, hours_ago: int = 0) -> None:
    heard = NOW - timedelta(hours=hours_ago)
    dispatch(
        RecordPlay(user_id=user_id, feed=FEED, item=episode, position=position, played=played, now=heard),
        Origin(),
    )


def titles(page: str) -> list[str]:
    return re.findall(r'<p class="title"><bdi>([^<]*)</bdi>', page)


def test_the_newest_comes_first(alice: User, bob: User) -> None:
    play(alice.pk, item("1", "https://cdn.example/one.mp3"), 3723, hours_ago=2)
    play(alice.pk, item("2", "https://cdn.example/two.mp3"), 30, played=True)
    play(bob.pk, item("3", "https://cdn.example/bobs.mp3"))
    dispatch(Subscribe(user_id=alice.pk, feed=FEED, now=NOW), Origin())
    bring_up_to_date()
    page = text_of(Visitor(alice).get("/dashboard"))
    assert titles(page) == ["two.mp3", "one.mp3", "feeds.example.org"]
    assert "at 1:02:03" in page
    assert page.index("played</span>") < page.index("at 1:02:03")
    assert "20 November 2026, 19:15 UTC" in page
    assert "bobs.mp3" not in page


def test_it_has_the_titles_of_what_was_fetched(alice: User) -> None:
    feed = known_feed("https://feeds.example.org/slow-radio.xml", title="Slow <Radio>", author="Ann")
    known_episode(feed, "1", "https://cdn.example/one.mp3", title="The First")
    for number in ("1", "2"):
        play(alice.pk, item(number, f"https://cdn.example/{number}.mp3"), hours_ago=int(number))
    dispatch(Subscribe(user_id=alice.pk, feed=FEED, now=NOW), Origin())
    bring_up_to_date()
    page = text_of(Visitor(alice).get("/dashboard"))
    assert titles(page) == ["The First", "2.mp3", "Slow &lt;Radio&gt;"]
    assert "<bdi>Ann</bdi>" in page


def test_a_podcast_no_longer_followed_is_gone(alice: User) -> None:
    dispatch(Subscribe(user_id=alice.pk, feed=FEED, now=NOW), Origin())
    dispatch(Unsubscribe(user_id=alice.pk, feed=FEED, now=NOW + timedelta(minutes=1)), Origin())
    bring_up_to_date()
    assert "feeds.example.org" not in text_of(Visitor(alice).get("/dashboard"))


def test_long_lists_come_in_pages(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PLAYS", 2)
    monkeypatch.setattr(views, "SUBSCRIPTIONS", 2)
    for number in range(3):
        play(alice.pk, item(str(number), f"https://cdn.example/{number}.mp3"), hours_ago=number)
        feed = feed_of_url(f"https://feed{number}.example/rss")
        dispatch(Subscribe(user_id=alice.pk, feed=feed, now=NOW), Origin())
    bring_up_to_date()
    visitor = Visitor(alice)
    first = text_of(visitor.get("/dashboard"))
    assert titles(first)[:2] == ["0.mp3", "1.mp3"]
    older = re.search(r'href="(/dashboard\?plays=[^"]+)"', first)
    more = re.search(r'href="(/dashboard\?subscriptions=[^"]+)"', first)
    assert older
    assert more
    assert titles(text_of(visitor.get(older[1])))[0] == "2.mp3"
    feeds = {*titles(first)[2:], *titles(text_of(visitor.get(more[1])))[2:]}
    assert feeds == {"feed0.example", "feed1.example", "feed2.example"}


@pytest.mark.parametrize("cursor", ["", "x", "\0", "AAAA", "é", "x" * 5000], ids=ascii)
def test_a_cursor_that_nobody_gave_out_is_refused(alice: User, cursor: str) -> None:
    for name in ("plays", "subscriptions"):
        response = Visitor(alice).get("/dashboard", {name: cursor})
        assert response.status_code == 400
        assert "This request cannot be read" in text_of(response)


def test_an_episode_is_text_and_nothing_else(alice: User) -> None:
    play(alice.pk, item("<script>alert(1)</script>"))
    play(alice.pk, item("x", "https://cdn.example/%3Cimg%20src=x%20onerror=alert(1)%3E"))
    play(alice.pk, item("\u202egpj.exe"))
    bring_up_to_date()
    page = text_of(Visitor(alice).get("/dashboard"))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_strangers_are_sent_to_log_in(alice: User) -> None:
    assert Visitor().get("/dashboard?plays=x")["Location"] == "/users/log_in?next=/dashboard%3Fplays%3Dx"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59, "0:59"), (754, "12:34"), (3600, "1:00:00"), (2**31 - 1, "596523:14:07")],
)
def test_positions_are_written_as_players_write_them(seconds: int, text: str) -> None:
    assert clock(seconds) == text


def test_an_episode_goes_by_its_file_and_else_by_its_guid() -> None:
    assert episode_name(item("guid", "https://cdn.example/a/Folge%208.m4a?x=1")) == "Folge 8.m4a"
    assert episode_name(item("tag:example.org,2026:1")) == "tag:example.org,2026:1"
    assert episode_name(item("guid", "https://cdn.example/")) == "guid"
    assert episode_name(item("", "https://cdn.example/")) == "https://cdn.example/"
    assert len(episode_name(item("x" * 500))) == 120


@pytest.mark.parametrize(
    "enclosure", ["http://[", "http://[::1", "https://[x]/1.mp3", "https://a\u2100b/1.mp3"]
)
def test_an_enclosure_that_no_parser_takes_is_refused_and_would_be_shown_as_it_is(enclosure: str) -> None:
    with pytest.raises(InvalidIdentifier):
        item("broken", enclosure)
    stored = base64.b64encode(f",{enclosure}".encode()).decode()
    assert episode_name(stored) == enclosure


def test_a_feed_goes_by_its_host_and_what_follows() -> None:
    assert feed_words(feed_of_url("https://Feeds.Example.org/a/b?id=1")) == ("feeds.example.org", "/a/b?id=1")
