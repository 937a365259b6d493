"""Seeing the privacy level of a podcast or an episode, and changing it; who may see a podcast at all."""

import re

import pytest

from accounts.models import User
from eventstore.domain.identifiers import feed_key_of
from projections import queries
from projections.connect import run
from tests.feeds.known import known_feed
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import follow, hear, page_of, page_of_episode, show, unknown_episode
from tests.web.people import Visitor, text_of
from web.addresses import in_path

SECRET = "https://www.patreon.com/rss/somebody?auth=mPkY3ZcQ0v"
HTMX = {"HX-Request": "true", "HX-Target": "dialog"}


def glance(visitor: Visitor, page: str) -> str:
    """Return the privacy level that a page shows."""
    text = text_of(visitor.get(page))
    found = re.search(
        r'class="button compact bare privacy[^>]* aria-label="([^":]+): change who sees it"', text
    )
    assert found, text
    return found[1]


def undo_of(page: str) -> str:
    found = re.search(r'<div class="toast">.*?action="([^"]+)"', page, re.DOTALL)
    assert found, page
    return found[1].replace("&amp;", "&")


def test_a_podcast_shows_its_level_and_a_click_changes_it_until_it_is_undone(alice: User) -> None:
    feed = show(1, 1)
    follow(alice, feed)
    visitor, page = Visitor(alice), page_of(feed)
    assert glance(visitor, page) == "Private"
    for level, name in (("public", "Public"), ("anonymous", "Anonymous"), ("", "Private")):
        assert visitor.send(f"{page}/privacy", {"level": level, "back": page})["Location"] == page
        bring_up_to_date()
        assert glance(visitor, page) == name
    visitor.send(f"{page}/privacy", {"level": "public"})
    bring_up_to_date()
    visitor.send(undo_of(text_of(visitor.get(page))), {})
    bring_up_to_date()
    assert glance(visitor, page) == "Private"
    assert queries.privacy_settings(alice.pk).rows == []


def test_an_episode_follows_its_podcast_until_it_has_a_level_of_its_own(alice: User) -> None:
    feed = show(1, 1)
    follow(alice, feed)
    episode = feed.episodes.get()
    visitor, page = Visitor(alice), page_of_episode(episode)
    address = page.replace("?", "/privacy?")
    visitor.send(f"{page_of(feed)}/privacy", {"level": "public"})
    bring_up_to_date()
    assert glance(visitor, page) == "Public"
    assert "As the podcast: public" in text_of(visitor.get(address))
    visitor.send(address, {"level": "private"})
    bring_up_to_date()
    assert glance(visitor, page) == "Private"
    [row] = [row for row in queries.privacy_settings(alice.pk).rows if row.rss_source_item]
    assert (row.rss_source_feed, row.rss_source_item) == (name_of(feed), item_name(episode))


def test_htmx_gets_the_choice_for_its_dialog_and_what_takes_its_place(alice: User) -> None:
    feed = show(1, 0)
    follow(alice, feed)
    visitor, path = Visitor(alice), f"{page_of(feed)}/privacy"
    choice = text_of(visitor.get(path, {"compact": ""}, headers=HTMX))
    assert "<html" not in choice
    assert [level in choice for level in ('value="public"', 'value="anonymous"', 'value=""')] == [True] * 3
    answer = visitor.send(path, {"level": "anonymous", "compact": "1"}, headers=HTMX)
    assert 'class="button compact bare privacy round"' in text_of(answer)
    assert "This podcast is anonymous now." in text_of(answer)


def test_what_is_no_level_changes_nothing(alice: User) -> None:
    feed = show(1, 0)
    follow(alice, feed)
    for level in ("everybody", "PUBLIC", "none "):
        assert Visitor(alice).send(f"{page_of(feed)}/privacy", {"level": level}).status_code == 400
    assert Visitor(alice).send(f"{page_of(feed)}/privacy", {}).status_code == 400
    bring_up_to_date()
    assert queries.privacy_settings(alice.pk).rows == []


def test_a_secret_address_is_private_whatever_is_set(alice: User) -> None:
    feed = known_feed(SECRET, title="Mine", is_secret=True)
    follow(alice, feed)
    visitor, page = Visitor(alice), page_of(feed)
    visitor.send(f"{page}/privacy", {"level": "public"})
    bring_up_to_date()
    assert glance(visitor, page) == "Private"
    assert "is a key of yours" in text_of(visitor.get(f"{page}/privacy"))


@pytest.mark.parametrize("kept", ["secret", "blocked", "locked", "by the operator"])
def test_who_does_not_follow_what_is_not_public_knows_nothing_of_it(
    alice: User, bob: User, kept: str
) -> None:
    feed = show(1, 1, is_secret=kept == "secret", blocked=kept == "blocked", locked=kept == "locked")
    if kept == "by the operator":
        run(
            "INSERT INTO users.blocked_feeds (feed_key, operator_since) VALUES (%s, now())",
            [feed_key_of(name_of(feed))],
        )
    [episode] = feed.episodes.all()
    follow(alice, feed)
    pages = [page_of(feed), page_of_episode(episode)]
    changes = [f"{page_of(feed)}/privacy", page_of_episode(episode).replace("?", "/privacy?")]
    # the titles of these pages would reveal as much
    more = [f"{page_of(feed)}/older", f"{page_of(feed)}/older?item={in_path(item_name(episode))}"]
    more.append(page_of_episode(episode).replace("?", "/playlists?"))
    for page in (*pages, *changes, *more):
        assert Visitor(alice).get(page).status_code == 200
    unfollowed = Visitor(alice)
    assert unfollowed.send(f"{page_of(feed)}/unfollow", {})["Location"] == "/subscriptions"
    bring_up_to_date()
    nothing = Visitor(bob).get(page_of("https://nobody.example/")), Visitor(bob).get(unknown_episode())
    for visitor in (unfollowed, Visitor(bob)):
        for page, like in zip(pages, nothing, strict=True):
            answer = visitor.get(page)
            assert (answer.status_code, answer.content) == (404, like.content)
        assert [visitor.get(page).status_code for page in (*changes, *more)] == [404] * 5
        assert visitor.send(changes[0], {"level": "public"}).status_code == 404
        assert visitor.send(f"{page_of(feed)}/refresh", {}).status_code == 404


def test_of_an_episode_heard_in_a_feed_that_is_not_public_its_own_position_stays(alice: User) -> None:
    feed = show(1, 1, is_secret=True)
    follow(alice, feed)
    hear(alice, feed.episodes.get(), 754)
    Visitor(alice).send(f"{page_of(feed)}/unfollow", {})
    bring_up_to_date()
    page = text_of(Visitor(alice).get(page_of_episode(feed.episodes.get())))
    assert "Show 1" not in page
    assert "Episode 1-0" not in page
    assert in_path(name_of(feed)) in page


def test_what_is_not_public_is_followed_before_it_is_shown(alice: User) -> None:
    feed = show(1, 1, blocked=True)
    answer = Visitor(alice).send(f"{page_of(feed)}/follow", {})
    bring_up_to_date()
    assert answer["Location"] == page_of(feed)
    assert Visitor(alice).get(page_of(feed)).status_code == 200
