"""The podcast namespace, as plain data: every occurrence of a known tag, with known attributes alone. Pure.

An occurrence is a dict of its attributes as texts; ``text`` is its own text, and under the name of a child
are all children of that name: ``{"role": "guest", "text": "Alice"}``. URLs are absolute http or https.
"""

import re
from typing import Any, NamedTuple, TypeAlias

import msgspec

from feeds.read.context import Context, Element, attributes_of, plain_text_of
from feeds.read.values import clean

LONGEST_TEXT = 2_000  # characters of an attribute or a text
_IN_SRCSET = re.compile(r"(\S+?)(\s+[0-9.]+[wx])?\s*(?:,\s|,?$)", re.ASCII)

Branch: TypeAlias = dict[str, Any]


class Tag(NamedTuple):
    """``required``: the attribute without which, or without a good URL in which, it says nothing."""

    name: str
    attributes: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    required: str = ""
    has_text: bool = False
    children: dict[str, "Tag"] = {}


def _tag(name: str, attributes: str = "", *children: Tag, text: bool = False, required: str = "") -> Tag:
    """Attributes are named with blanks between; those that end in ``*`` are URLs."""
    urls = frozenset(word[:-1] for word in attributes.split() if word.endswith("*"))
    plain = frozenset(word for word in attributes.split() if not word.endswith("*"))
    inside = {child.name.lower() if ":" in child.name else f"podcast:{child.name.lower()}": child
              for child in children}  # fmt: skip
    return Tag(name, plain, urls, required, text, inside)


_REMOTE_ITEM = _tag("remoteItem", "feedGuid feedUrl* itemGuid medium title")
_RECIPIENT = _tag("valueRecipient", "name customKey customValue type address split fee")
_TIME_SPLIT = _tag(
    "valueTimeSplit", "startTime duration remoteStartTime remotePercentage", _REMOTE_ITEM, _RECIPIENT
)
_ALTERNATE = _tag(
    "alternateEnclosure",
    "type length bitrate height lang title rel codecs default",
    _tag("source", "uri* contentType", required="uri"),
    _tag("integrity", "type value", required="value"),
)
_CONTENT_LINK = _tag("contentLink", "href*", text=True, required="href")
_IMAGES = _tag("images", "srcset", required="srcset")
_IMAGE = _tag("image", "href* alt aspect-ratio width height type purpose", required="href")

_ANYWHERE = (
    _tag("person", "role group img* href*", text=True, required="text"),
    _tag("value", "type method suggested", _RECIPIENT, _TIME_SPLIT),
    _tag("valueTimeSplit", "startTime duration remoteStartTime remotePercentage", _REMOTE_ITEM, _RECIPIENT),
    _tag("socialInteract", "uri* protocol accountId accountUrl* priority"),
    _CONTENT_LINK,
    _IMAGES,
    _IMAGE,
    _tag("location", "rel geo osm country", text=True),
    _tag("license", "url*", text=True),
    _tag("funding", "url*", text=True, required="url"),
    _tag("medium", text=True),
    _tag("txt", "purpose", text=True),
    _tag("trailer", "pubdate url* length type season", text=True, required="url"),
    _tag("podroll", "", _REMOTE_ITEM),
    _tag("updateFrequency", "complete dtstart rrule", text=True),
    _tag("season", "name", text=True),
    _tag("episode", "display", text=True),
    _tag("transcript", "url* type language rel", required="url"),
    _tag("chapters", "url* type", required="url"),
    _tag("soundbite", "startTime duration", text=True),
    _ALTERNATE,
)
_LIVE = Tag(
    "liveItem",
    frozenset({"status", "start", "end"}),
    children={
        "title": _tag("title", text=True),
        "link": _tag("link", "text*", text=True),
        "guid": _tag("guid", text=True),
        "enclosure": _tag("enclosure", "url* type length", required="url"),
        **{f"podcast:{tag.name.lower()}": tag for tag in _ANYWHERE},
    },
)
TAGS = {f"podcast:{tag.name.lower()}": tag for tag in (*_ANYWHERE, _LIVE)}


def read_tag(element: Element, tag: Tag, context: Context) -> Branch | None:
    """One occurrence; None where it says nothing."""
    found: Branch = {}
    for name, value in attributes_of(element):
        if name in tag.urls:
            value = context.link(value, element)
        elif name not in tag.attributes:
            continue
        elif name == "srcset":
            value = _srcset(value, element, context)
        if value:
            found[name] = clean(value[:LONGEST_TEXT])
    if tag.has_text and (text := plain_text_of(element)):
        found["text"] = context.link(text, element) if "text" in tag.urls else clean(text[:LONGEST_TEXT])
    if tag.children:
        _read_children(element, tag, context, found)
    return found if found and (not tag.required or tag.required in found) else None


def within(extra: Branch, most: int, context: Context) -> Branch:
    """What of it fits into so many bytes of JSON: what came last is left out first."""
    if len(msgspec.json.encode(extra)) <= most:
        return extra
    context.warn("extra_cut")
    kept: Branch = {}
    room = most - 2
    for name, branches in extra.items():
        room -= len(name) + 6
        for branch in branches:
            room -= len(msgspec.json.encode(branch)) + 1
            if room < 0:
                return kept
            kept.setdefault(name, []).append(branch)
    return kept


def _read_children(element: Element, tag: Tag, context: Context, found: Branch) -> None:
    for child in element:
        inner = tag.children.get(context.name(child))
        branch = read_tag(child, inner, context) if inner else None
        if inner and branch:
            found.setdefault(inner.name, []).append(branch)


def _srcset(value: str, element: Element, context: Context) -> str:
    """The images of a srcset whose URLs are good."""
    images = ((context.link(url, element), size) for url, size in _IN_SRCSET.findall(value[:LONGEST_TEXT]))
    return ", ".join(f"{url}{size}" for url, size in images if url)
