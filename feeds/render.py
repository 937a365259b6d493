"""Render feeds as RSS 2.0 with the tags of iTunes and of the podcast namespace. Pure.

They are built from rows by an XML library: no byte of a foreign document is passed on, and the same rows
yield the same bytes. Descriptions are sanitised here; addresses were validated when they were read.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from lxml import etree
from msgspec import Struct

from feeds.documents import Channel, Episode
from feeds.html import safe_html
from feeds.models import Episode as EpisodeRow
from feeds.models import Feed
from feeds.read.podcast import CHAPTERS, TAGS, Tag

GENERATOR: Final = "Balados"
ATOM: Final = "http://www.w3.org/2005/Atom"
ITUNES: Final = "http://www.itunes.com/dtds/podcast-1.0.dtd"
PODCAST: Final = "https://podcastindex.org/namespace/1.0"
PSC: Final = "http://podlove.org/simple-chapters"
NAMESPACES: Final = {"atom": ATOM, "itunes": ITUNES, "podcast": PODCAST, "psc": PSC}
# tags of the podcast namespace that are rendered again (those stored in columns are written separately)
OF_CHANNELS: Final = ("funding", "person", "value", "location", "license", "txt")
OF_EPISODES: Final = (
    "transcript",
    "chapters",
    "person",
    "season",
    "episode",
    "soundbite",
    "alternateEnclosure",
    "value",
    "socialInteract",
    "license",
)
CHAPTER: Final = ("start", "title", "href", "image")
# characters that XML 1.0 does not allow
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MAIL: Final = re.compile(r"<?[^\s<>()]+@[^\s<>()]+>?")
YES_NO: Final = {True: "true", False: "false"}

Element = etree._Element


class Item(Struct):
    """An episode in a feed. ``guid`` identifies it there, and is not an address.

    ``source_title``, ``source_url``: of the show that it comes from, in a feed of several shows.
    """

    episode: Episode
    guid: str
    source_title: str = ""
    source_url: str = ""


def channel_of(feed: Feed) -> Channel:
    """Return a feed's row as plain values, without the e-mail address of its owner."""
    return Channel(
        title=feed.title,
        author=MAIL.sub("", feed.author).strip(" ()"),
        description=feed.description,
        link=feed.link,
        cover_url=feed.cover_url,
        language=feed.language,
        copyright=feed.copyright,
        kind=feed.kind,
        medium=feed.medium,
        explicit=feed.explicit,
        blocked=feed.blocked,
        complete=feed.complete,
        locked=feed.locked,
        podcast_guid="" if feed.podcast_guid is None else str(feed.podcast_guid),
        categories=feed.categories,
        extra=feed.extra,
    )


def episode_of(row: EpisodeRow) -> Episode:
    """Return an episode's row as plain values. Without a date of its own it gets its sort time."""
    return Episode(
        guid=row.guid,
        enclosure_url=row.enclosure_url,
        enclosure_type=row.enclosure_type,
        enclosure_length=row.enclosure_length,
        title=row.title,
        link=row.link,
        description=row.description,
        published_at=row.published_at or row.sort_at,
        duration=row.duration,
        image_url=row.image_url,
        season=row.season,
        number=row.number,
        kind=row.kind,
        explicit=row.explicit,
        blocked=row.blocked,
        extra=row.extra,
    )


def render(
    channel: Channel,
    items: Iterable[Item],
    *,
    url: str,
    changed_at: datetime,
    newest_at: datetime | None = None,
) -> bytes:
    """Return the feed as a UTF-8 document. ``url`` is its own address, which is included unless it is empty;
    ``changed_at`` is when it last changed, ``newest_at`` when its newest episode was published."""
    root = etree.Element("rss", {"version": "2.0"}, nsmap=NAMESPACES)
    within = etree.SubElement(root, "channel")
    _add_channel(within, channel, url, changed_at, newest_at)
    for item in items:
        _add_item(etree.SubElement(within, "item"), item)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def _add_channel(
    within: Element, channel: Channel, url: str, changed_at: datetime, newest_at: datetime | None
) -> None:
    # RSS requires these three, even if empty
    _text(within, "title", channel.title or " ")
    _text(within, "link", channel.link or url or " ")
    _text(within, "description", safe_html(channel.description) or " ")
    if url:
        _empty(within, f"{{{ATOM}}}link", {"href": url, "rel": "self", "type": "application/rss+xml"})
    _text(within, "language", channel.language)
    _text(within, "copyright", channel.copyright)
    _time(within, "pubDate", newest_at)
    _time(within, "lastBuildDate", changed_at)
    _text(within, "generator", GENERATOR)
    if channel.cover_url:
        image = etree.SubElement(within, "image")
        _text(image, "url", channel.cover_url)
        _text(image, "title", channel.title or " ")
        _text(image, "link", channel.link or url or " ")
    _add_itunes(within, channel.cover_url, channel.explicit, channel.blocked)
    _text(within, f"{{{ITUNES}}}author", channel.author)
    _text(within, f"{{{ITUNES}}}type", channel.kind)
    _text(within, f"{{{ITUNES}}}complete", "Yes" if channel.complete else "")
    _add_categories(within, channel.categories)
    _text(within, f"{{{PODCAST}}}guid", channel.podcast_guid)
    _text(within, f"{{{PODCAST}}}medium", channel.medium)
    _text(within, f"{{{PODCAST}}}locked", "yes" if channel.locked else "")
    _add_extra(within, OF_CHANNELS, channel.extra)


def _add_item(within: Element, item: Item) -> None:
    episode = item.episode
    _text(within, "title", episode.title)
    _text(within, "link", episode.link)
    guid = _text(within, "guid", item.guid)
    if guid is not None:
        guid.set("isPermaLink", "false")
    _time(within, "pubDate", episode.published_at)
    _text(within, "description", safe_html(episode.description))
    _text(within, "source", item.source_title, {"url": item.source_url} if item.source_url else {})
    if episode.enclosure_url:
        length = str(max(episode.enclosure_length, 0))
        kind = episode.enclosure_type or "application/octet-stream"
        _empty(within, "enclosure", {"url": episode.enclosure_url, "length": length, "type": kind})
    _text(within, f"{{{ITUNES}}}title", episode.title)
    _add_itunes(within, episode.image_url, episode.explicit, episode.blocked)
    for name, number in (
        ("duration", episode.duration),
        ("season", episode.season),
        ("episode", episode.number),
    ):
        _text(within, f"{{{ITUNES}}}{name}", "" if number is None else str(number))
    _text(within, f"{{{ITUNES}}}episodeType", episode.kind)
    _add_extra(within, OF_EPISODES, episode.extra)
    _add_chapters(within, episode.extra)


def _add_itunes(within: Element, image: str, explicit: bool | None, blocked: bool) -> None:
    """Add the tags that channels and items share."""
    if image:
        _empty(within, f"{{{ITUNES}}}image", {"href": image})
    _text(within, f"{{{ITUNES}}}explicit", "" if explicit is None else YES_NO[explicit])
    _text(within, f"{{{ITUNES}}}block", "Yes" if blocked else "")


def _add_categories(within: Element, categories: Iterable[str]) -> None:
    for category in categories:
        _empty(within, f"{{{ITUNES}}}category", {"text": category})


def _add_extra(within: Element, names: Iterable[str], extra: Mapping[str, Any]) -> None:
    """Add the tags of the podcast namespace in ``names``, in that order."""
    for name in names:
        for found in _occurrences(extra.get(name)):
            _add_tag(within, TAGS[f"podcast:{name.lower()}"], found)


def _add_tag(within: Element, tag: Tag, found: Mapping[str, Any]) -> None:
    attributes = {name: str(found[name]) for name in tag.is_url if found.get(name)}
    element = _empty(within, f"{{{PODCAST}}}{tag.name}", attributes)
    if tag.has_text:
        element.text = _characters(str(found.get("text", "")))
    for child in tag.children.values():
        for one in _occurrences(found.get(child.name)):
            _add_tag(element, child, one)


def _add_chapters(within: Element, extra: Mapping[str, Any]) -> None:
    """Add the chapters that were in the feed itself."""
    for found in _occurrences(extra.get(CHAPTERS.name))[:1]:
        chapters = _empty(within, f"{{{PSC}}}chapters", {"version": "1.2"})
        for chapter in _occurrences(found.get("chapter")):
            attributes = {name: str(chapter[name]) for name in CHAPTER if chapter.get(name)}
            _empty(chapters, f"{{{PSC}}}chapter", attributes)


def _occurrences(found: Any) -> list[Mapping[str, Any]]:
    """Return the occurrences of a tag as a list, whether none, one or several were stored."""
    listed = found if isinstance(found, list) else [found]
    return [one for one in listed if isinstance(one, Mapping)]


def _text(within: Element, name: str, text: str, attributes: Mapping[str, str] = {}) -> Element | None:
    if not text:
        return None
    element = _empty(within, name, attributes)
    element.text = _characters(text)
    return element


def _time(within: Element, name: str, moment: datetime | None) -> None:
    _text(within, name, "" if moment is None else format_datetime(moment))


def _empty(within: Element, name: str, attributes: Mapping[str, str]) -> Element:
    return etree.SubElement(within, name, {key: _characters(value) for key, value in attributes.items()})


def _characters(text: str) -> str:
    """Remove characters that XML does not allow."""
    return NOT_XML.sub("", text)
