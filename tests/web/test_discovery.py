"""/trending/… and /timeline, and what visitors see of them on the first page."""

import re
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.privacy import ChangePrivacy, Level
from eventstore.domain.saved import SaveEpisode
from eventstore.domain.subscriptions import Subscribe
from feeds.models import Feed
from projections import popularity
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date, lagging_projectors
from tests.web.library import HOSTILE, NOW, follow, hear, page_of, show
from tests.web.people import Visitor, text_of
from web import timeline

HTMX = {"HX-Request": "true"}


def share(user: User, level: Level = "public") -> None:
    dispatch(ChangePrivacy(user_id=user.pk, level=level, now=NOW), Origin())


def count_popularity() -> None:
    bring_up_to_date()
    popularity.recalculate()
    bring_up_to_date()


def names(page: str) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', page)


def read(path: str, visitor: Any = None, **query: str) -> str:
    answer = (visitor or Visitor()).get(path, query)
    assert answer.status_code == 200, answer.content
    return text_of(answer)


@pytest.fixture
def shows(alice: User, bob: User) -> list[Feed]:
    """Three podcasts: Alice is public and follows the first two; Bob is private and follows the last."""
    share(alice)
    shows = [
        show(1, 2, title="Slow Radio", language="fr-CA", categories=["Music"]),
        show(2, 1, title="Night Kitchen", language="en"),
        show(3, 1, title="Bob's own"),
    ]
    follow(alice, *shows[:2])
    follow(bob, shows[2])
    episode = shows[0].episodes.order_by("sort_at")[0]
    hear(alice, episode, 60)
    order = SaveEpisode(user_id=alice.pk, feed=name_of(shows[0]), item=item_name(episode), now=NOW)
    dispatch(order, Origin())
    count_popularity()
    return shows


def test_visitors_see_what_is_popular_and_nothing_private(shows: list[Feed], operator: User) -> None:
    page = read("/trending/podcasts")
    assert names(page) == ["Slow Radio", "Night Kitchen"]
    assert "1 follower · 1 play · saved 1 time" in page
    assert "<bdi>Alice</bdi>" in page
    assert "Bob" not in page
    assert "Follow Slow Radio" not in page
    assert names(read("/trending/episodes")) == ["Episode 1-0"]
    first = read("/")
    assert names(first) == ["Slow Radio", "Night Kitchen"]
    assert "Popular on this server" in first


def test_they_are_chosen_by_category_language_and_period(shows: list[Feed]) -> None:
    from feeds.models import Category

    Category.objects.get_or_create(slug="music", defaults={"name": "Music"})
    path = "/trending/podcasts"
    assert names(read(path, category="music")) == ["Slow Radio"]
    assert names(read(path, language="en")) == ["Night Kitchen"]
    assert names(read(path, language="fr", category="music")) == ["Slow Radio"]
    assert "Nothing found" in read(path, category="comedy")
    assert names(read(path, category="nonsense")) == ["Slow Radio", "Night Kitchen"]
    piece = text_of(Client().get(path, {"language": "en"}, headers={**HTMX, "HX-Target": "found"}))
    assert "<html" not in piece
    assert names(piece) == ["Night Kitchen"]


def test_the_timeline_tells_who_did_what(shows: list[Feed]) -> None:
    page = read("/timeline")
    assert sorted(names(page)) == ["Episode 1-0", "Episode 1-0", "Night Kitchen", "Slow Radio"]
    for what in ("follows a podcast", "listened", "saved an episode"):
        assert f'<a href="/u/Alice"><bdi>Alice</bdi></a> {what}' in page
    assert Visitor().get("/u/Alice").status_code == 200
    assert names(read("/timeline", kind="play")) == ["Episode 1-0"]
    assert Visitor().get("/timeline", {"after": "x"}).status_code == 400


def test_acts_that_cannot_be_shown_yet_hide_no_others(
    shows: list[Feed], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        unknown = feed_of_url(f"https://not-fetched.example/{number}.xml")
        later = NOW + timedelta(hours=number + 1)
        dispatch(Subscribe(user_id=alice.pk, feed=unknown, now=later), Origin())
    bring_up_to_date()
    monkeypatch.setattr(timeline, "PAGE", 1)
    assert len(names(read("/timeline"))) == 1
    monkeypatch.setattr(timeline, "MOST_READ", 2)
    page = read("/timeline")
    assert "Nothing to show here yet" in page
    assert 'rel="next"' in page


def test_who_is_anonymous_has_no_name(shows: list[Feed], bob: User) -> None:
    share(bob, "anonymous")
    bring_up_to_date()
    page = read("/timeline", kind="subscribe")
    assert "<bdi>Somebody</bdi> follows a podcast" in page
    assert "Bob's own" in page.replace("&#x27;", "'")
    assert "<bdi>Bob</bdi>" not in page


def test_what_is_hidden_again_is_gone_at_once(shows: list[Feed], alice: User) -> None:
    assert names(read("/trending/podcasts"))
    share(alice, "private")
    count_popularity()
    assert names(read("/trending/podcasts")) == []
    assert "Nothing public yet" in read("/timeline")


def test_a_listener_follows_and_hides_there(shows: list[Feed], bob: User) -> None:
    visitor = Visitor(bob)
    page = read("/trending/podcasts", visitor)
    assert "Follow Slow Radio" in page
    piece = visitor.send(f"{page_of(shows[0])}/follow", {"part": "compact"}, headers=HTMX)
    assert "Unfollow Slow Radio" in text_of(piece)
    hidden = visitor.send(f"{page_of(shows[1])}/hide", {"back": "/trending/podcasts"})
    assert hidden["Location"] == "/trending/podcasts"
    assert names(read("/trending/podcasts", visitor)) == ["Slow Radio"]
    page = read("/timeline", visitor)
    assert "Night Kitchen" not in page
    assert "You hide 1 podcast here." in page
    # also after another user has logged in
    assert names(read("/trending/podcasts", Visitor(bob))) == ["Slow Radio"]
    visitor.send(f"{page_of(shows[1])}/show", {})
    assert len(names(read("/trending/podcasts", visitor))) == 2
    visitor.send(f"{page_of(shows[1])}/hide", {}, headers=HTMX)
    visitor.send("/timeline/show-all", {})
    assert len(names(read("/trending/podcasts", visitor))) == 2


def test_a_read_model_that_is_behind_is_told_and_the_first_page_stays(
    shows: list[Feed], alice: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(alice, "private")
    with lagging_projectors(monkeypatch):
        assert "brought up to date" in read("/timeline")
        assert "brought up to date" in read("/trending/podcasts")
        assert "Your podcasts" in read("/")


def test_one_address_may_ask_so_often(bob: User, settings: Settings) -> None:
    podcast = page_of(show(1))
    settings.PUBLIC_REQUESTS_PER_MINUTE = 2
    for number, path in enumerate(("/timeline", podcast, f"{podcast}/listeners")):
        visitor = Visitor(REMOTE_ADDR=f"198.51.100.{90 + number}")
        answers = [visitor.get(path) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429], path
        assert "no-cache" in answers[0]["Cache-Control"], path
        assert Visitor(bob, REMOTE_ADDR=f"198.51.100.{90 + number}").get(path).status_code == 200


def test_texts_of_publishers_are_text_and_queries_few(
    shows: list[Feed], bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    Feed.objects.update(title=HOSTILE, author=HOSTILE)
    visitor, asked = Visitor(bob), []
    # the first request records in the session that it is in use; the statements for that are not counted
    visitor.get("/help")
    execute = psycopg.Cursor.execute

    def counting(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    new = f"/subscriptions/new?q={shows[0].url}"
    for path in ("/trending/podcasts", "/trending/episodes", "/timeline", "/search?q=alert", new, "/"):
        asked.clear()
        page = read(path, visitor)
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page or "?q=alert" in path
        assert len(asked) <= 12, (path, [str(query)[:80] for query in asked])
