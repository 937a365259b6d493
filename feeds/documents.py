"""The content of a feed as plain values: what the reader makes of a document, and what is stored. Pure."""

from datetime import datetime
from typing import Any

from msgspec import Struct


class Channel(Struct):
    """The show itself. Texts are unchanged except that characters not allowed in XML are removed and the ends
    trimmed; "" where absent."""

    title: str = ""
    author: str = ""
    description: str = ""
    link: str = ""
    cover_url: str = ""
    language: str = ""
    copyright: str = ""
    kind: str = ""  # episodic, serial or ""
    medium: str = ""
    explicit: bool | None = None
    blocked: bool = False
    complete: bool = False
    locked: bool = False
    owner_email: str = ""
    hub_url: str = ""
    self_url: str = ""
    new_feed_url: str = ""
    podcast_guid: str = ""  # a UUID in lower case, or ""
    categories: list[str] = []
    ttl_s: int | None = None  # the minimum time between two fetches that the document asks for
    extra: dict[str, Any] = {}


class Episode(Struct):
    """One item of a feed. URLs are absolute http or https, or ""."""

    guid: str = ""
    enclosure_url: str = ""
    enclosure_type: str = ""
    enclosure_length: int = -1  # bytes; -1 where unknown
    title: str = ""
    link: str = ""
    description: str = ""
    published_at: datetime | None = None
    duration: int | None = None  # seconds
    image_url: str = ""
    season: int | None = None
    number: int | None = None
    kind: str = ""  # full, trailer, bonus or ""
    explicit: bool | None = None
    blocked: bool = False
    extra: dict[str, Any] = {}


class Document(Struct):
    """A document that was read to its end; its episodes were handed to the caller one by one.

    ``recovered``: the document is not well-formed, or not in its declared encoding; nothing may be concluded
    from what it lacks. ``oldest_at``: the time of its oldest item.
    """

    channel: Channel
    episode_count: int
    oldest_at: datetime | None
    recovered: bool
    warnings: list[str]


class UnreadableFeed(ValueError):
    """Not a feed: ``code`` is ``not_a_feed`` or ``unsupported``; the text says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
