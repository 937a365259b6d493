"""The last resort for odd documents: feedparser, which is slow and lenient. Pure: it is given only bytes."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import feedparser

from feeds.documents import Channel, Episode, UnreadableFeed
from feeds.read import values
from feeds.read.context import Context
from feeds.read.draft import Enclosure, best_of
from feeds.read.items import guid_of

LARGEST = 4 * 1024 * 1024  # bytes: 1.5 seconds of work


def read_with_feedparser(
    text: bytes, *, url: str, hand_on: Callable[[Episode], None], context: Context
) -> Channel:
    """Return the channel; its episodes are passed to ``hand_on``. Raises ``UnreadableFeed``."""
    if len(text) > LARGEST:
        raise UnreadableFeed("not_a_feed", "the document is not RSS or Atom, and too large to look closer")
    # pass a stream: feedparser would take bytes or text for a file name
    found = feedparser.parse(
        BytesIO(text),
        response_headers={"content-type": "application/xml; charset=utf-8", "content-location": url},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not found.get("version") and not found.entries:
        raise UnreadableFeed("not_a_feed", "the document is not RSS or Atom")
    for entry in found.entries:
        if (episode := _episode(entry, context)) is not None:
            hand_on(episode)
    return _channel(found.feed, context)


def _channel(feed: Any, context: Context) -> Channel:
    image = feed.get("image") or {}
    return Channel(
        title=context.title(_text(feed, "title")),
        author=context.title(_text(feed, "author")),
        description=context.description(_text(feed, "subtitle") or _text(feed, "summary")),
        link=_link(feed.get("link"), context),
        cover_url=_link(image.get("href"), context),
        language=values.clean(_text(feed, "language"))[:100],
        copyright=context.title(_text(feed, "rights")),
    )


def _episode(entry: Any, context: Context) -> Episode | None:
    files = [file for file in (_enclosure(one, context) for one in entry.get("enclosures", [])) if file.url]
    file = best_of(files)
    guid = guid_of(_text(entry, "id"), context)
    if not guid and not file.url:
        context.warn("items_without_name")
        return None
    contents = [_text(one, "value") for one in entry.get("content", [])]
    return Episode(
        guid=guid,
        enclosure_url=file.url,
        enclosure_type=file.type,
        enclosure_length=file.length,
        title=context.title(_text(entry, "title")),
        link=_link(entry.get("link"), context),
        description=context.description(max([*contents, _text(entry, "summary")], key=len)),
        published_at=values.date(_text(entry, "published")) or values.date(_text(entry, "updated")),
        duration=values.duration(_text(entry, "itunes_duration")),
        image_url=_link((entry.get("image") or {}).get("href"), context),
    )


def _enclosure(found: Any, context: Context) -> Enclosure:
    url = _link(found.get("href"), context)
    size = values.integer(_text(found, "length"), 2**53)
    return Enclosure(url, values.media_type(_text(found, "type"), url), -1 if size is None else size)


def _link(found: object, context: Context) -> str:
    if not isinstance(found, str):
        return ""
    return context.limited(values.resolve(context.url, values.legal(found)))


def _text(found: Any, name: str) -> str:
    text = dict.get(found, name)  # feedparser's own lookup guesses and warns
    return values.legal(text) if isinstance(text, str) else ""
