"""What strangers can read in somebody's public list."""

from django.test import Client

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.privacy import ChangePrivacy, Level
from tests.feeds.known import known_feed
from tests.feeds.rows import name_of
from tests.gpodder.apps import PodcastApp, content_of
from tests.web.library import NOW, follow, show
from tests.web.listing import collection

SECRET = "https://www.patreon.com/rss/somebody?auth=mPkY3ZcQ0v"
LIST = "/api/2/lists/alice/list/news.txt"


def test_strangers_see_what_is_public_of_it_and_its_listener_everything(
    phone: PodcastApp, bobs: PodcastApp, alice: User
) -> None:
    feeds = [show(number) for number in (1, 2, 3)]
    feeds += [
        show(4, is_secret=True),
        show(5, blocked=True),
        known_feed(SECRET, title="For patrons", is_secret=True),
    ]
    follow(alice, *feeds)
    collection(alice, *feeds, name="News", is_public=True)
    levels: list[Level] = ["private", "anonymous"]
    for feed, level in zip(feeds[1:3], levels, strict=True):
        order = ChangePrivacy(user_id=alice.pk, now=NOW, level=level, feed=name_of(feed))
        dispatch(order, Origin())
    for answer in (Client().get(LIST), bobs.ask("GET", LIST)):
        assert content_of(answer).decode().split() == [feeds[0].url]
    assert content_of(phone.ask("GET", LIST)).decode().split() == [feed.url for feed in feeds]
