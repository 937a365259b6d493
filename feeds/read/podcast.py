"""Read the podcast namespace as plain data: each occurrence of a known tag, with known attributes only. Pure.

Podlove Simple Chapters are read in the same way, under ``pscChapters``.

An occurrence is a dict of its attributes as texts; ``text`` is its own text, and the children of each name
are listed under that name: ``{"role": "guest", "text": "Alice"}``. URLs are absolute http or https URLs.
"""

import re
from typing import Any, TypeAlias

import msgspec

from feeds.read.context import PLAIN_URL, Context, Element, attributes_of
from feeds.read.values import clean, is_plain_url

LONGEST_TEXT = 2_000  # characters of an attribute or a text
_OF_RSS = frozenset({"title", "link", "guid", "enclosure"})
_IN_SRCSET = re.compile(r"(\S+?)(\s+[0-9.]+[wx])?\s*(?:,\s|,?$)", re.ASCII)

_encode = msgspec.json.Encoder().encode

Branch: TypeAlias = dict[str, Any]


class Tag:
    """The description of a tag. ``required``: an attribute without which, or without a valid URL in which,
    the tag is ignored.

    Attribute names are separated by blanks; those that end in ``*`` are URLs. If the text is a URL, ``text*``
    is named among them.
    """

    def __init__(
        self, name: str, attributes: str = "", *children: "Tag", has_text: bool = False, required: str = ""
    ) -> None:
        self.short_name = name.lower() if ":" in name or name in _OF_RSS else f"podcast:{name.lower()}"
        self.name = name.rpartition(":")[2]
        self.is_url = {word.rstrip("*"): word.endswith("*") for word in attributes.split()}
        self.has_text = has_text
        self.required = required
        self.children = {child.short_name: child for child in children}


_REMOTE_ITEM = Tag("remoteItem", "feedGuid feedUrl* itemGuid medium title")
_RECIPIENT = Tag("valueRecipient", "name customKey customValue type address split fee")
_TIME_SPLIT = Tag(
    "valueTimeSplit", "startTime duration remoteStartTime remotePercentage", _REMOTE_ITEM, _RECIPIENT
)
_ALTERNATE = Tag(
    "alternateEnclosure",
    "type length bitrate height lang title rel codecs default",
    Tag("source", "uri* contentType", required="uri"),
    Tag("integrity", "type value", required="value"),
)
_CONTENT_LINK = Tag("contentLink", "href*", has_text=True, required="href")
_IMAGES = Tag("images", "srcset", required="srcset")
_IMAGE = Tag("image", "href* alt aspect-ratio width height type purpose", required="href")

_ANYWHERE = (
    Tag("person", "role group img* href*", has_text=True, required="text"),
    Tag("value", "type method suggested", _RECIPIENT, _TIME_SPLIT),
    Tag("valueTimeSplit", "startTime duration remoteStartTime remotePercentage", _REMOTE_ITEM, _RECIPIENT),
    Tag("socialInteract", "uri* protocol accountId accountUrl* priority"),
    _CONTENT_LINK,
    _IMAGES,
    _IMAGE,
    Tag("location", "rel geo osm country", has_text=True),
    Tag("license", "url*", has_text=True),
    Tag("funding", "url*", has_text=True, required="url"),
    Tag("medium", has_text=True),
    Tag("txt", "purpose", has_text=True),
    Tag("trailer", "pubdate url* length type season", has_text=True, required="url"),
    Tag("podroll", "", _REMOTE_ITEM),
    Tag("updateFrequency", "complete dtstart rrule", has_text=True),
    Tag("season", "name", has_text=True),
    Tag("episode", "display", has_text=True),
    Tag("transcript", "url* type language rel", required="url"),
    Tag("chapters", "url* type", required="url"),
    Tag("soundbite", "startTime duration", has_text=True),
    _ALTERNATE,
)
_LIVE = Tag(
    "liveItem",
    "status start end",
    Tag("title", has_text=True),
    Tag("link", "text*", has_text=True),
    Tag("guid", has_text=True),
    Tag("enclosure", "url* type length", required="url"),
    *_ANYWHERE,
)
CHAPTERS = Tag(
    "pscChapters", "", Tag("psc:chapter", "start title href* image*", required="start"), required="chapter"
)
TAGS = {tag.short_name: tag for tag in (*_ANYWHERE, _LIVE)}


def read_tag(element: Element, tag: Tag, context: Context) -> Branch | None:
    """Return one occurrence; None where it has no usable content."""
    found: Branch = {}
    is_url = tag.is_url
    for name, value in attributes_of(element):
        if name not in is_url:
            continue
        # the usual cases of ``context.link`` and ``_short`` are inlined: a call would take as long again
        if is_url[name]:
            text = value if len(value) < PLAIN_URL and is_plain_url(value) else context.link(value, element)
        else:
            text = value.strip() if len(value) <= LONGEST_TEXT and value.isascii() else _short(value)
        if text:
            found[name] = text
    if tag.has_text and (written := element.text):
        found["text"] = context.link(written, element) if "text" in is_url else _short(written)
    if tag.children:
        _read_children(element, tag, context, found)
    if "srcset" in found:
        found["srcset"] = _srcset(found["srcset"], element, context)
    return found if found and (not tag.required or found.get(tag.required)) else None


def within(extra: Branch, most: int, context: Context) -> Branch:
    """Return what fits into ``most`` bytes of JSON: the last entries are left out first."""
    if len(_encode(extra)) <= most:
        return extra
    context.warn("extra_cut")
    kept: Branch = {}
    room = most - 2
    for name, branches in extra.items():
        room -= len(name) + 6
        for branch in branches:
            room -= len(_encode(branch)) + 1
            if room < 0:
                return kept
            kept.setdefault(name, []).append(branch)
    return kept


def _read_children(element: Element, tag: Tag, context: Context, found: Branch) -> None:
    by_tag = context.by_tag(tag.children)
    for child in element:
        inner = by_tag[child.tag]
        branch = read_tag(child, inner, context) if inner else None
        if inner and branch:
            found.setdefault(inner.name, []).append(branch)


def _short(text: str) -> str:
    return text.strip() if text.isascii() and len(text) <= LONGEST_TEXT else clean(text[:LONGEST_TEXT])


def _srcset(value: str, element: Element, context: Context) -> str:
    """Return the images of a srcset that have valid URLs."""
    images = ((context.link(url, element), size) for url, size in _IN_SRCSET.findall(value[:LONGEST_TEXT]))
    return ", ".join(f"{url}{size}" for url, size in images if url)
