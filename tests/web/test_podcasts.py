"""/podcasts/{feed}: a podcast and its episodes."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from eventstore import marks
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.privacy import ChangePrivacy
from feeds.models import EnrichedPodcast, Feed, FeedAlias, FeedMove
from tests.factories import UserFactory
from tests.feeds.rows import alias_key, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, NOW, follow, hear, page_of, show
from tests.web.people import Response, Visitor, text_of
from web import podcasts


def titles(response: Response) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', text_of(response))


def test_it_shows_what_is_known(alice: User) -> None:
    feed = show(
        1,
        2,
        author="Ada",
        language="fr",
        categories=["Arts"],
        extra={
            "funding": [{"url": "https://give.example/", "text": "Buy us tea"}],
            "person": [{"text": "Grace"}],
        },
    )
    page = text_of(Visitor(alice).get(page_of(feed)))
    for text in (
        "Show 1",
        "Ada",
        "Arts",
        "<dd>French</dd>",
        "Buy us tea",
        'href="https://give.example/"',
        "Grace",
        "What happened",
    ):
        assert text in page
    assert f'action="{page_of(feed)}/follow"' in page
    follow(alice, feed)
    assert f'action="{page_of(feed)}/unfollow"' in text_of(Visitor(alice).get(page_of(feed)))


def test_the_episodes_are_ordered_searched_and_left_out_as_asked(alice: User) -> None:
    feed = show(1, 3)
    visitor, path = Visitor(alice), page_of(feed)
    hear(alice, feed.episodes.get(guid="1-1"), 1_800, played=True)
    bring_up_to_date()
    assert titles(visitor.get(path)) == ["Episode 1-2", "Episode 1-1", "Episode 1-0"]
    assert titles(visitor.get(path, {"order": "oldest"})) == ["Episode 1-0", "Episode 1-1", "Episode 1-2"]
    assert titles(visitor.get(path, {"q": "1-1"})) == ["Episode 1-1"]
    assert titles(visitor.get(path, {"unplayed": "on"})) == ["Episode 1-2", "Episode 1-0"]
    assert "Nothing found" in text_of(visitor.get(path, {"q": "100%"}))


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_many_come_in_pages_that_miss_none(alice: User, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(podcasts, "PAGE", 2)
    feed = show(1, 5)
    address, seen = f"{page_of(feed)}?order={order}", []
    while address:
        page = Visitor(alice).get(address)
        seen += titles(page)
        following = re.search(r'href="([^"]*after=[^"]+)"', text_of(page))
        address = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == 5
    assert sorted(seen, reverse=order == "newest") == seen


def test_seasons_have_headings(alice: User) -> None:
    feed = show(1, 3)
    feed.episodes.filter(guid="1-2").update(season=2)
    feed.episodes.exclude(guid="1-2").update(season=1)
    found = re.findall(r"<h3>([^<]+)</h3>", text_of(Visitor(alice).get(page_of(feed))))
    assert found == ["Season 2", "Season 1"]


def test_what_publishers_write_runs_and_loads_nothing(alice: User) -> None:
    feed = show(1, 1, title=HOSTILE, author=HOSTILE, description=HOSTILE, link="javascript:alert(1)")
    page = text_of(Visitor(alice).get(page_of(feed)))
    for found in ("<script>alert", "<img src=x", "onerror=alert(1)>", 'href="javascript:'):
        assert found not in page


def test_a_feed_that_fails_says_why_and_keeps_its_episodes(alice: User) -> None:
    feed = show(1, 1, error="unreachable", error_since=NOW, state=Feed.State.FAILING)
    page = text_of(Visitor(alice).get(page_of(feed)))
    assert "Its server cannot be reached." in page
    assert "Episode 1-0" in page


def test_htmx_gets_the_list_alone(alice: User) -> None:
    headers = {"HX-Request": "true", "HX-Target": "found"}
    page = text_of(Visitor(alice).get(page_of(show(1, 1)), headers=headers))
    assert "Episode 1-0" in page
    assert "<html" not in page


def test_what_is_not_known_or_not_his_to_see_is_not_there(alice: User, bob: User) -> None:
    secret = show(1, 1, is_secret=True)
    follow(alice, secret)
    unknown = page_of("https://nobody.example/")
    for path in (unknown, page_of(secret), "/podcasts/x", "/podcasts/bm8"):
        assert Visitor(bob).get(path).status_code == 404
    assert Visitor(alice).get(page_of(secret)).status_code == 200


def test_what_the_operator_blocks_is_there_for_its_followers_alone(alice: User, bob: User) -> None:
    feed = show(1, 1)
    follow(alice, feed)
    assert Visitor(bob).get(page_of(feed)).status_code == 200
    marks.mark(name_of(feed), "operator", NOW, blocked=True)
    bring_up_to_date()
    assert Visitor(bob).get(page_of(feed)).status_code == 404
    assert Visitor(bob).send(f"{page_of(feed)}/refresh", {}).status_code == 404
    assert Visitor(alice).get(page_of(feed)).status_code == 200


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "x" * 150])
def test_a_cursor_that_nobody_gave_out_is_refused(alice: User, cursor: str) -> None:
    assert Visitor(alice).get(page_of(show(1, 1)), {"after": cursor}).status_code == 400


def test_it_is_followed_from_its_page_under_its_own_name(alice: User) -> None:
    feed = show(1)
    Visitor(alice).send(f"{page_of(feed)}/follow", {})
    bring_up_to_date()
    assert name_of(feed)
    assert "You follow it" in text_of(Visitor(alice).get(page_of(feed)))


def test_an_empty_feed_is_not_waited_for(alice: User) -> None:
    feed = show(1, title="", state="active")
    page = text_of(Visitor(alice).get(page_of(feed)))
    assert "There are no episodes in this feed." in page
    assert "being fetched" not in page


def test_it_says_for_two_weeks_that_a_feed_has_moved(alice: User) -> None:
    feed = show(1, 1)
    done = {"decided": "followed", "reason": "moved", "decided_at": timezone.now() - timedelta(days=13)}
    FeedMove.objects.create(feed=feed, to_url=feed.url, from_url="https://old.example/", **done)
    assert "It has been at show1.example since" in text_of(Visitor(alice).get(page_of(feed)))
    FeedMove.objects.update(decided_at=timezone.now() - timedelta(days=15))
    assert "It has been at" not in text_of(Visitor(alice).get(page_of(feed)))


def test_the_former_address_of_a_moved_feed_leads_to_it(alice: User, bob: User) -> None:
    feed = show(1, 1)
    former = page_of(feed)
    follow(alice, feed)
    feed.url = "https://new.example/feed.xml"
    feed.save()
    FeedAlias.objects.create(feed_key=alias_key(feed.url), url=feed.url, feed=feed)
    for who in (Visitor(bob), Visitor()):
        assert who.get(former)["Location"] == page_of(feed)
        assert "Episode 1-0" in text_of(who.get(page_of(feed)))
    # her subscription has not moved yet, or is not to move
    page = text_of(Visitor(alice).get(former))
    assert "You follow it" in page
    assert "you follow it under the old one" in page


def test_visitors_see_what_everybody_may_and_log_in_for_the_rest(alice: User) -> None:
    feed = show(1, 1)
    page = text_of(Visitor().get(page_of(feed)))
    assert "Episode 1-0" in page
    assert f'href="/users/log_in?next={page_of(feed)}"' in page
    for own in ("/follow", "/older", "/refresh", "/privacy", "Not played"):
        assert own not in page
    for closed in (show(2, 1, is_secret=True), show(3, 1, blocked=True), "https://nobody.example/"):
        assert Visitor().get(page_of(closed))["Location"] == f"/users/log_in?next={page_of(closed)}"


def test_a_short_name_of_the_operators_leads_to_its_podcast(alice: User) -> None:
    feed = show(1, 1)
    links = [
        {"url": "https://club.example/", "title": "The club"},
        {"url": "javascript:alert(1)", "title": "x"},
    ]
    EnrichedPodcast.objects.create(
        feed_key=alias_key(feed.url), url=feed.url, slug="slow-radio", note="Worth hearing.", links=links
    )
    assert Visitor(alice).get("/podcasts/slow-radio")["Location"] == page_of(feed)
    assert Visitor(alice).get("/podcasts/fast-radio").status_code == 404
    page = text_of(Visitor(alice).get(page_of(feed)))
    for text in ("Worth hearing.", "The club", "/podcasts/slow-radio"):
        assert text in page
    assert "javascript:" not in page


def test_popularity_is_told_where_enough_show_it(alice: User) -> None:
    feed = show(1, 1)
    for _ in range(podcasts.ENOUGH):
        page = text_of(Visitor(alice).get(f"{page_of(feed)}/listeners"))
        assert "Too few listeners" in page
        somebody = UserFactory.create()
        dispatch(ChangePrivacy(user_id=somebody.pk, level="anonymous", now=NOW), Origin())
        follow(somebody, feed)
    headers = {"HX-Request": "true", "HX-Target": "listeners"}
    for visitor in (Visitor(alice), Visitor()):
        assert "5 followers" in text_of(visitor.get(f"{page_of(feed)}/listeners"))
        assert "<html" not in text_of(visitor.get(f"{page_of(feed)}/listeners", headers=headers))
    assert f'hx-get="{page_of(feed)}/listeners"' in text_of(Visitor(alice).get(page_of(feed)))
    for closed in (show(2, 1, is_secret=True), show(3, 1, blocked=True), "https://nobody.example/"):
        assert Visitor(alice).get(f"{page_of(closed)}/listeners").status_code == 404
