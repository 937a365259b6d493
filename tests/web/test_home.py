"""The first page for listeners, /: episodes in progress, and new ones."""

import re

from accounts.models import User
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, follow, hear, show
from tests.web.people import Visitor, text_of


def names(page: str) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', page)


def test_what_is_begun_comes_first_and_then_what_is_new(alice: User, bob: User) -> None:
    mine, others = show(1, 4), show(2, 1)
    follow(alice, mine)
    follow(bob, others)
    episodes = list(mine.episodes.order_by("sort_at"))
    hear(alice, episodes[0], 900)
    hear(alice, episodes[1], 1_800, played=True)
    hear(bob, episodes[2], 60)
    bring_up_to_date()
    page = text_of(Visitor(alice).get("/"))
    assert names(page) == ["Episode 1-0", "Episode 1-3", "Episode 1-2"]
    assert "15 min left" in page
    assert page.index("Continue listening") < page.index("Episode 1-0") < page.index("New episodes")
    assert "Episode 2" not in page


def test_what_was_opened_and_not_heard_is_still_new(alice: User) -> None:
    feed = show(1, 2)
    follow(alice, feed)
    hear(alice, feed.episodes.order_by("sort_at")[0], 0)
    bring_up_to_date()
    page = text_of(Visitor(alice).get("/"))
    assert names(page) == ["Episode 1-1", "Episode 1-0"]
    assert "Continue listening" not in page


def test_what_nobody_has_fetched_goes_by_its_address(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    hear(alice, episode, 30)
    bring_up_to_date()
    episode.feed.aliases.all().delete()
    page = text_of(Visitor(alice).get("/"))
    assert names(page) == ["0.mp3"]
    assert "show1.example" in page
    assert "at 0:30" in page


def test_who_has_nothing_yet_is_told_how_to_begin(alice: User) -> None:
    page = text_of(Visitor(alice).get("/"))
    assert "Welcome" in page
    assert 'action="/subscriptions/new"' in page


def test_the_texts_of_publishers_are_text(alice: User) -> None:
    feed = show(1, 1, title=HOSTILE)
    feed.episodes.update(title=HOSTILE)
    follow(alice, feed)
    page = text_of(Visitor(alice).get("/"))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_old_address_leads_here(alice: User) -> None:
    answer = Visitor(alice).get("/dashboard")
    assert (answer.status_code, answer["Location"]) == (301, "/")
