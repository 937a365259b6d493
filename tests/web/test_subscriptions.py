"""/subscriptions: browsing the podcasts that are followed, following, unfollowing and undoing."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import AddFeedToCollection, CreateCollection
from eventstore.domain.privacy import ChangePrivacy
from feeds.models import Feed
from projections import queries
from tests.feeds.rows import name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW, follow, hear, page_of, show
from tests.web.people import Response, Visitor, text_of
from tests.web.test_privacy_choice import undo_of
from web import subscriptions
from web.read_your_writes import SEEN

LIST = "/subscriptions"
HTMX = {"HX-Request": "true"}


def titles(response: Response) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', text_of(response))


def followed(user: User) -> list[str]:
    bring_up_to_date()
    return [row.rss_source_feed for row in queries.subscriptions(user.pk).rows]


def test_the_podcasts_are_ordered_as_asked(alice: User, bob: User) -> None:
    now = datetime.now(UTC)
    old = show(1, 0, title="Apples", newest_at=now - timedelta(days=9))
    new = show(2, 0, title="cherries", newest_at=now)
    never = show(3, 0, title="Bananas", newest_at=None)
    follow(alice, new, never, old)
    follow(bob, show(4, 0, title="Bob's"))
    visitor = Visitor(alice)
    assert titles(visitor.get(LIST)) == ["cherries", "Apples", "Bananas"]
    assert titles(visitor.get(LIST, {"sort": "title"})) == ["Apples", "Bananas", "cherries"]
    assert titles(visitor.get(LIST, {"sort": "added"})) == ["Apples", "Bananas", "cherries"]
    assert titles(visitor.get(LIST, {"sort": "nonsense"})) == ["cherries", "Apples", "Bananas"]


def test_a_search_finds_titles_authors_and_addresses(alice: User) -> None:
    follow(alice, show(1, 0, title="Slow Radio"), show(2, 0, author="Ada"), show(3))
    visitor = Visitor(alice)
    assert titles(visitor.get(LIST, {"q": "slow"})) == ["Slow Radio"]
    assert titles(visitor.get(LIST, {"q": "ADA"})) == ["Show 2"]
    assert titles(visitor.get(LIST, {"q": "show3.example"})) == ["Show 3"]
    assert "Nothing found" in text_of(visitor.get(LIST, {"q": "%"}))


def test_a_collection_is_looked_at_alone(alice: User, bob: User) -> None:
    feeds = [show(number) for number in range(1, 4)]
    follow(alice, *feeds)
    assert "chips" not in text_of(Visitor(alice).get(LIST))
    collection = UUID(int=7)
    own: dict[str, Any] = {"user_id": alice.pk, "collection_id": collection, "now": NOW}
    dispatch(CreateCollection(name="Mornings", color="#aa3300", **own), Origin())
    dispatch(AddFeedToCollection(feed=name_of(feeds[1]), **own), Origin())
    bring_up_to_date()
    visitor = Visitor(alice)
    assert "Mornings" in text_of(visitor.get(LIST))
    page = visitor.get(LIST, {"collection": str(collection), "sort": "title"})
    assert titles(page) == ["Show 2"]
    assert "1 podcast found" in text_of(page)
    assert 'href="/subscriptions?sort=title"' in text_of(page)
    for other in (UUID(int=8), "nonsense"):
        assert visitor.get(LIST, {"collection": str(other)}).status_code == 200
    follow(bob, feeds[1])
    assert titles(Visitor(bob).get(LIST, {"collection": str(collection)})) == []


def test_collections_are_offered_by_name_however_many_there_are(alice: User) -> None:
    follow(alice, show(1))
    names = [f"Folder {number:03}" for number in range(120)]
    for number, name in enumerate(reversed(names)):
        order = CreateCollection(user_id=alice.pk, collection_id=UUID(int=number + 1), name=name, now=NOW)
        dispatch(order, Origin())
    bring_up_to_date()
    page = text_of(Visitor(alice).get(LIST))
    assert re.findall(r"Folder \d{3}", page) == names


def test_who_sees_what_is_shown_at_a_glance(alice: User) -> None:
    feeds = [show(1), show(2)]
    follow(alice, *feeds)
    order = ChangePrivacy(user_id=alice.pk, level="public", feed=name_of(feeds[0]), now=NOW)
    dispatch(order, Origin())
    bring_up_to_date()
    visitor = Visitor(alice)
    for look in ("grid", "list"):
        visitor.send(f"{LIST}/look", {"look": look})
        page = text_of(visitor.get(LIST))
        assert re.findall(r'aria-label="(Public|Private): change', page) == ["Private", "Public"]
        assert f'href="{page_of(feeds[0])}/privacy?back=' in page


def test_the_choice_of_who_sees_it_leads_back_to_the_same_search(alice: User) -> None:
    feed = show(1)
    follow(alice, feed)
    visitor, here = Visitor(alice), "/subscriptions?q=show&sort=title"
    link = re.search(r'privacy round"[^>]* href="([^"]+)"', text_of(visitor.get(here)))
    assert link
    choice = text_of(visitor.get(html.unescape(link[1])))
    assert f'name="back" value="{html.escape(here)}"' in choice


def test_unplayed_episodes_are_counted(alice: User) -> None:
    feed = show(1, 3)
    follow(alice, feed)
    hear(alice, feed.episodes.all()[0], 1_800, played=True)
    hear(alice, feed.episodes.all()[1], 60)
    bring_up_to_date()
    assert "2 episodes not played" in text_of(Visitor(alice).get(LIST))


def test_a_long_list_comes_in_pages_that_miss_none(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "PAGE", 2)
    follow(alice, *(show(number) for number in range(5)))
    visitor, address, seen = Visitor(alice), LIST, []
    while address:
        page = visitor.get(address)
        seen += titles(page)
        following = re.search(r'href="(/subscriptions\?[^"]*after=[^"]+)"', text_of(page))
        address = following[1].replace("&amp;", "&") if following else ""
    assert sorted(seen) == [f"Show {number}" for number in range(5)]


def test_three_hundred_cost_no_more_queries_than_three(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = [show(number) for number in range(300)]
    follow(alice, *feeds[:3])
    visitor = Visitor(alice)
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def counting(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return execute(cursor, query, *args, **options)

    def count(path: str) -> int:
        asked.clear()
        assert visitor.get(path).status_code == 200
        return len(asked)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    # the first request reads what is read once per process, and records that the session is in use
    count(LIST)
    few = [count(path) for path in (LIST, "/", page_of(feeds[0]))]
    follow(alice, *feeds[3:])
    assert [count(path) for path in (LIST, "/", page_of(feeds[0]))] == few
    assert max(few) <= 12
    assert len(visitor.get(LIST).content) < 400_000


def test_the_look_of_the_list_is_kept(alice: User) -> None:
    follow(alice, show(1))
    visitor = Visitor(alice)
    assert 'class="grid"' in text_of(visitor.get(LIST))
    answer = visitor.send(f"{LIST}/look", {"look": "list", "back": f"{LIST}?sort=title"})
    assert answer["Location"] == f"{LIST}?sort=title"
    assert 'class="rows"' in text_of(Visitor(alice).get(LIST))


def test_what_was_never_fetched_says_so(alice: User) -> None:
    follow(alice, show(1, 0, title="", state=Feed.State.NEW), show(2, 0, title="", state=Feed.State.FAILING))
    page = text_of(Visitor(alice).get(LIST))
    assert "show1.example" in page
    assert "being fetched" in page
    assert "cannot be fetched" in page


def test_unfollowing_is_told_and_taken_back(alice: User) -> None:
    feed = show(1, 0, title="Slow & Steady")
    follow(alice, feed)
    visitor = Visitor(alice)
    answer = visitor.send(f"{page_of(feed)}/unfollow", {"back": LIST})
    assert answer["Location"] == LIST
    assert followed(alice) == []
    page = text_of(visitor.get(LIST))
    assert "You no longer follow Slow &amp; Steady." in page
    assert visitor.send(undo_of(page), {"back": page_of(feed)})["Location"] == page_of(feed)
    assert followed(alice) == [name_of(feed)]


def test_a_page_shows_what_its_reader_has_just_done(alice: User) -> None:
    feed = show(1)
    answer = Visitor(alice).send(f"{page_of(feed)}/follow", {})
    assert int(answer.cookies[SEEN].value) > 0
    assert answer.cookies[SEEN]["httponly"]


@pytest.mark.parametrize("cookie", ["", "x", "-1", "9" * 30, "9" * 4_301])
def test_a_position_that_nobody_gave_out_is_passed_over(alice: User, cookie: str) -> None:
    visitor = Visitor(alice)
    visitor.cookies[SEEN] = cookie
    assert visitor.get(LIST).status_code == 200


def test_htmx_gets_the_other_button_and_the_toast(alice: User) -> None:
    feed = show(1)
    answer = Visitor(alice).send(f"{page_of(feed)}/follow", {}, headers=HTMX)
    text = text_of(answer)
    assert "<html" not in text
    assert f'action="{page_of(feed)}/unfollow"' in text
    assert 'hx-swap-oob="innerHTML"' in text
    assert "You follow Show 1." in text
    row = Visitor(alice).send(f"{page_of(feed)}/unfollow", {"part": "row"}, headers=HTMX)
    assert "<form id=" not in text_of(row)


def test_who_follows_nothing_unfollows_nothing(alice: User) -> None:
    answer = Visitor(alice).send(f"{page_of('https://nobody.example/feed')}/unfollow", {})
    assert answer["Location"] == LIST


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "data:,1"])
def test_no_form_leads_elsewhere(alice: User, back: str) -> None:
    feed = show(1)
    assert Visitor(alice).send(f"{page_of(feed)}/follow", {"back": back})["Location"] == page_of(feed)


def test_strangers_log_in_first(alice: User) -> None:
    feed = show(1)
    assert Visitor().get(f"{LIST}?q=x")["Location"] == "/users/log_in?next=/subscriptions%3Fq%3Dx"
    assert Visitor().send(f"{page_of(feed)}/follow", {})["Location"] == "/users/log_in?next=/"
    partial = Visitor().send(f"{page_of(feed)}/follow", {}, headers=HTMX)
    assert partial["HX-Redirect"] == "/users/log_in?next=/"


def test_another_site_cannot_send_the_forms(alice: User) -> None:
    feed = show(1)
    for path in (f"{page_of(feed)}/follow", f"{LIST}/look"):
        assert Visitor(alice).post(path, {}).status_code == 403


def test_the_menu_of_a_cover_has_what_can_be_done_with_it(alice: User, bob: User) -> None:
    feed = show(1, 1, title="Slow Radio")
    follow(alice, feed)
    bring_up_to_date()
    visitor, path = Visitor(alice), f"{page_of(feed)}/menu"
    assert f'href="{path}?back=' in text_of(visitor.get(LIST))
    page = text_of(visitor.get(path, {"back": f"{LIST}?sort=title"}))
    for what in ("unfollow", "older", "collections"):
        assert f'"{page_of(feed)}/{what}"' in page, what
    assert f'name="back" value="{LIST}?sort=title"' in page
    assert f'name="back" value="{LIST}"' in text_of(visitor.get(path, {"back": "https://elsewhere.example/"}))
    piece = text_of(visitor.get(path, headers=HTMX | {"HX-Target": "dialog"}))
    assert 'id="dialog-title"' in piece
    assert "<html" not in piece
    # a podcast that one does not follow has no menu, whether or not it exists
    assert Visitor(bob).get(path).status_code == 404
