"""Read an episode's chapters from the formats that publishers use into one form. Pure.

Supported are the JSON of the podcast namespace, and Podlove Simple Chapters, which are either part of the
feed or a document of their own.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from lxml import etree
from msgspec import Struct

from feeds.read.podcast import CHAPTERS
from feeds.read.values import LONGEST_URL, clean, is_web_url, legal, play_time, text_of_html

MOST, LONGEST_TITLE = 1_000, 1_000
LAST: Final = 10.0**7  # seconds


class EpisodeChapter(Struct, omit_defaults=True):
    """A chapter; ``start`` is in seconds. Texts have no markup; addresses are absolute http or https URLs."""

    start: float
    title: str
    image: str | None = None
    link: str | None = None


# decodes chapters as they are stored
stored_chapters = msgspec.json.Decoder(list[EpisodeChapter]).decode


class UnreadableDocument(ValueError):
    """A document without the expected content; the text says why."""


def read(body: bytes) -> list[EpisodeChapter]:
    """Return the chapters of a document, sorted by start. Raises ``UnreadableDocument``."""
    found = _xml(body) if body.lstrip()[:1] == b"<" else _json(body)
    return sorted(found, key=lambda chapter: chapter.start)[:MOST]


def in_feed(extra: Mapping[str, Any]) -> list[EpisodeChapter]:
    """Return the chapters that are in the feed itself, from ``Episode.extra``."""
    listed = [one for found in extra.get(CHAPTERS.name, []) for one in found.get("chapter", [])]
    return list(_chapters(listed, {"start": "start", "title": "title", "image": "image", "link": "href"}))


def _json(body: bytes) -> Iterable[EpisodeChapter]:
    try:
        document = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableDocument("The chapters are not JSON.") from error
    listed = document.get("chapters") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise UnreadableDocument("The document holds no chapters.")
    shown = [one for one in listed if isinstance(one, dict) and one.get("toc") is not False]
    return _chapters(shown, {"start": "startTime", "title": "title", "image": "img", "link": "url"})


def _xml(body: bytes) -> Iterable[EpisodeChapter]:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableDocument("The chapters are not well-formed XML.") from error
    listed = [dict(node.attrib) for node in root.iter("{http://podlove.org/simple-chapters}chapter")]
    if not listed:
        raise UnreadableDocument("The document holds no chapters.")
    return _chapters(listed, {"start": "start", "title": "title", "image": "image", "link": "href"})


def _chapters(listed: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Iterable[EpisodeChapter]:
    """Yield the chapters whose start is a valid time; ``names`` maps our field names to theirs."""
    for one in listed:
        start = seconds(one.get(names["start"]))
        if start is None:
            continue
        link, image = (_address(one.get(names[name])) for name in ("link", "image"))
        yield EpisodeChapter(start, plain(one.get(names["title"]))[:LONGEST_TITLE], image, link)


def seconds(value: object) -> float | None:
    """Read a time given in seconds or as ``h:mm:ss.mmm``; None for anything else."""
    if isinstance(value, bool):
        return None
    found = play_time(value) if isinstance(value, str) else value
    return float(found) if isinstance(found, int | float) and 0 <= found <= LAST else None


def plain(value: object) -> str:
    """Return a text without markup, on one line."""
    return " ".join(clean(legal(text_of_html(value))).split()) if isinstance(value, str) else ""


def _address(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_URL and is_web_url(value) else None
