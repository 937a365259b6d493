"""Podcasts and episodes as the pages show them."""

from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode

from eventstore.domain.identifiers import key_of
from web import words

# grounds of covers that are missing (static/components.css)
HUES = 8
MOST_COUNTED = 99


def in_path(name: str) -> str:
    """A feed or an item, as an address holds it: base64 of the URL-safe alphabet, without padding."""
    return name.rstrip("=").translate(str.maketrans("+/", "-_"))


class Podcast(NamedTuple):
    """``feed``: its ``rss_source_feed``. ``title``: the feed's host until it was fetched. ``cover``: the
    digest under which /covers/ has it, or "". ``unplayed``: None where it is not counted."""

    feed: str
    title: str
    is_fetched: bool = True
    author: str = ""
    cover: str = ""
    newest_at: datetime | None = None
    unplayed: int | None = None
    is_followed: bool = True

    @property
    def path(self) -> str:
        return f"/podcasts/{in_path(self.feed)}"

    @property
    def hue(self) -> int:
        return int(key_of(self.feed)[:4], 16) % HUES

    @property
    def initials(self) -> str:
        return words.initials(self.title)

    @property
    def address(self) -> str:
        """Where the feed is, in words."""
        return "".join(words.feed_words(self.feed))

    @property
    def unplayed_words(self) -> str:
        count = self.unplayed or 0
        return str(count) if count <= MOST_COUNTED else f"{MOST_COUNTED}+"


class Episode(NamedTuple):
    """``podcast``: the title of its podcast. ``duration`` and ``position`` in seconds; a position of 0 where
    the listener has not begun it."""

    feed: str
    item: str
    title: str
    podcast: str = ""
    cover: str = ""
    published_at: datetime | None = None
    duration: int | None = None
    position: int = 0
    played: bool = False
    heard_at: datetime | None = None

    @property
    def path(self) -> str:
        return f"/episodes/{in_path(self.item)}?{urlencode({'feed': in_path(self.feed)})}"

    @property
    def hue(self) -> int:
        return int(key_of(self.feed)[:4], 16) % HUES

    @property
    def initials(self) -> str:
        return words.initials(self.podcast or self.title)

    @property
    def percent(self) -> int | None:
        """How much of it is heard; None where nothing is, or its length is not known."""
        if self.played:
            return 100
        if not self.position or not self.duration:
            return None
        return max(1, min(100, self.position * 100 // self.duration))

    @property
    def left(self) -> int | None:
        """Seconds to the end of an episode that was begun; None where that is not known."""
        if self.played or not self.position or not self.duration:
            return None
        return max(0, self.duration - self.position)
