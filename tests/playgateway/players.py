"""Players that know only an address, and listeners who have something in their lists."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from xml.etree.ElementTree import Element, fromstring

from django.conf import settings
from django.test import Client

from accounts.models import PlayToken, User
from eventstore.dispatcher import Origin, dispatch, state_of
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.messages import Command
from eventstore.domain.plays import PlayStatus
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from feeds.models import Episode, Feed
from tests.api.devices import url_safe
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.people import Response

MPEG = "audio/mpeg"


def now() -> datetime:
    return datetime.now(UTC)


class Player:
    """A player that was given a play token of ``user`` and keeps no cookies."""

    def __init__(self, user: User, name: str = "Kitchen radio", **token: Any) -> None:
        self.user = user
        # old enough for a test to let it expire
        made = now() - timedelta(days=1)
        self.row, self.token = PlayToken.objects.issue(user, name, made, **token)
        self.client = Client(raise_request_exception=False)

    def feed(self, path: str, **headers: str) -> Response:
        return self.client.get(f"/rss/{self.token}/{path}", headers=headers)

    def play(
        self, episode: Episode, s: str = "", *, feed: str = "", item: str = "", **headers: str
    ) -> Response:
        return self.client.get(self.address(episode, s, feed=feed, item=item), headers=headers)

    def address(self, episode: Episode, s: str = "", *, feed: str = "", item: str = "") -> str:
        named = url_safe(feed or name_of(episode.feed)), url_safe(item or item_name(episode))
        return f"/play/{self.token}/{named[0]}/{named[1]}.mp3{f'?s={s}' if s else ''}"


def order(command: Command) -> None:
    dispatch(command, Origin("org.example.castaway"))


def follow(user: User, *feeds: Feed | str) -> None:
    """Follow feeds, given as rows or URLs, and update the read models."""
    for feed in feeds:
        name = feed_of_url(feed if isinstance(feed, str) else feed.url)
        order(Subscribe(user_id=user.pk, now=now(), feed=name))
    bring_up_to_date()


def unfollow(user: User, feed: Feed) -> None:
    order(Unsubscribe(user_id=user.pk, now=now(), feed=name_of(feed)))
    bring_up_to_date()


def plays_of(user_id: UUID) -> list[PlayStatus]:
    """The listener's plays in the event store, whatever the read models contain."""
    return list(state_of(user_id).user.plays.values())


def channel_of(response: Response) -> Element:
    assert response.status_code == 200, response.content
    found = fromstring(response.content).find("channel")
    assert found is not None
    return found


def titles_in(response: Response) -> list[str]:
    return [item.findtext("title", "") for item in channel_of(response).iter("item")]


def enclosures_in(response: Response) -> list[str]:
    """The enclosure URLs, as paths of this server."""
    found = [node.get("url", "") for node in channel_of(response).iter("enclosure")]
    assert all(url.startswith(settings.PLAY_URL) for url in found)
    return found


def item(guid: str, enclosure_url: str) -> str:
    return item_of(guid, enclosure_url)
