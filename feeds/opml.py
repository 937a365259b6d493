"""Read and write OPML, that is, lists of feeds. Pure.

Any outline with an address is read, whatever its type, as are folders and the RDF lists of old blog servers.
Nothing that a list names is fetched. Malformed documents are read as far as possible.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final, NamedTuple, cast

from lxml import etree
from msgspec import Struct

from eventstore.domain.identifiers import InvalidIdentifier, feed_of_url, url_of_feed
from feeds.documents import UnreadableFeed
from feeds.read.beginning import inspect
from feeds.read.charset import to_utf8
from feeds.read.mending import mend, replace_entities
from feeds.read.names import split_tag
from feeds.read.values import clean, legal
from feeds.read.xml import guarded_parser

MOST_OUTLINES: Final = 10_000
MOST_LEVELS: Final = 100
MOST_ELEMENTS: Final = 100_000
LONGEST_FOLDER: Final = 200  # characters, as for the name of a collection
LONGEST_SHOWN: Final = 2_048  # characters shown of an address that is refused
MEDIA_TYPE: Final = "text/x-opml"

CUT_OFF: Final = "The document ends in the middle: whatever came after this line is missing."

_SLICE: Final = 64 * 1024
_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
# the attributes that hold the addresses of feeds in RDF lists
_IN_RDF: Final = {"channel": f"{_RDF}about", "feed": f"{_RDF}resource"}
# the name of the outermost element, after declarations and comments
_ROOT: Final = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_LISTS: Final = frozenset({"include", "link"})

Element = etree._Element


class OpmlRefused(ValueError):
    """Not a list of feeds, or one that is too large; ``code``: ``not_opml``, ``entities``,
    ``too_many_outlines`` or ``too_many_levels``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    @property
    def is_too_large(self) -> bool:
        return self.code.startswith("too_many")


class BadRow(Struct):
    """A row that cannot be followed. ``line``: its line in the file, from 1. ``url``: as written there.
    ``code``: `cut_off` for all that is missing after the end of a document that is not complete."""

    line: int
    url: str
    code: str
    detail: str


class FeedList(NamedTuple):
    """The feeds of a list by their names, each with its folders, in the order of the list; "" stands for no
    folder. ``folders``: the names of all folders, empty ones included."""

    feeds: dict[str, list[str]]
    folders: list[str]
    bad: list[BadRow]


class Outline(NamedTuple):
    """A feed to be written: its name as apps know it, its title, and the address of its website."""

    feed: str
    title: str
    link: str


def read_opml(body: bytes, content_type: str = "") -> FeedList:
    """Return the feeds of a list. Raises ``OpmlRefused``."""
    text, _ = to_utf8(body, content_type)
    try:
        beginning = inspect(text)
    except UnreadableFeed as refusal:
        if refusal.code == "unsupported" and "entities" in str(refusal):
            raise OpmlRefused("entities", "The document declares entities, which no list needs.") from None
        raise OpmlRefused("not_opml", "The document is no OPML.") from None
    text = replace_entities(beginning.text) if beginning.has_doctype else beginning.text
    try:
        return _Reading(recover=False).run(text)
    except etree.XMLSyntaxError:
        pass
    try:
        listed = _Reading(recover=True).run(mend(text))
    except etree.XMLSyntaxError:
        raise OpmlRefused("not_opml", "The document is no XML.") from None
    if _is_cut_off(text):
        listed.bad.insert(0, BadRow(text.rstrip().count(b"\n") + 1, "", "cut_off", CUT_OFF))
    return listed


def write_opml(title: str, changed_at: datetime, folders: Iterable[tuple[str, Sequence[Outline]]]) -> bytes:
    """Return an OPML 2.0 document; the outlines of the folder "" are written at the top level. The same list
    yields the same bytes: ``changed_at`` is when it was last changed."""
    opml = etree.Element("opml", {"version": "2.0"})
    head = etree.SubElement(opml, "head")
    etree.SubElement(head, "title").text = _characters(title)
    etree.SubElement(head, "dateCreated").text = format_datetime(changed_at, usegmt=True)
    body = etree.SubElement(opml, "body")
    for name, outlines in folders:
        parent = etree.SubElement(body, "outline", {"text": _characters(name)}) if name else body
        for outline in outlines:
            etree.SubElement(parent, "outline", _attributes(outline))
    etree.indent(opml)
    written: bytes = etree.tostring(opml, xml_declaration=True, encoding="utf-8")
    return written + b"\n"


class _Reading:
    """One pass through a list: the folders that enclose the current element, and what was found so far."""

    def __init__(self, *, recover: bool) -> None:
        self._recover = recover
        self._within: list[str] = []
        self._outlines = self._elements = 0
        self._is_list = False
        self._folders: dict[str, str] = {}
        self._feeds: dict[str, list[str]] = {}
        self._bad: list[BadRow] = []

    def run(self, text: bytes) -> FeedList:
        for event, element in self._parse(text):
            if event == "start":
                self._begin(element)
            else:
                self._end(element)
        if not self._is_list:
            raise OpmlRefused("not_opml", "The document is no OPML.")
        return FeedList(self._feeds, list(self._folders.values()), self._bad)

    def _parse(self, text: bytes) -> Iterator[tuple[str, Element]]:
        parser = guarded_parser(events=("start", "end"), recover=self._recover)
        for start in range(0, len(text), _SLICE):
            parser.feed(text[start : start + _SLICE])
            yield from parser.read_events()  # type: ignore[misc]
        parser.close()
        yield from parser.read_events()  # type: ignore[misc]

    def _begin(self, element: Element) -> None:
        self._elements += 1
        name = split_tag(str(element.tag))[1]
        self._is_list = self._is_list or name in ("opml", "rdf", "outline")
        if self._elements > MOST_ELEMENTS:
            raise OpmlRefused("too_many_outlines", f"A list may have {MOST_ELEMENTS:,} elements at most.")
        if name == "outline":
            self._begin_outline(element)
        elif name in _IN_RDF and (url := str(element.get(_IN_RDF[name]) or "").strip()):
            self._count()
            self._add(url, element)

    def _begin_outline(self, element: Element) -> None:
        self._count()
        if len(self._within) >= MOST_LEVELS:
            raise OpmlRefused("too_many_levels", f"Outlines may be nested {MOST_LEVELS} levels deep at most.")
        found = {str(name).lower(): str(value).strip() for name, value in element.items()}
        kind = found.get("type", "").lower()
        around = self._within[-1] if self._within else ""
        url = found.get("xmlurl") or found.get("url", "")
        if kind in _LISTS and url and not found.get("xmlurl"):
            self._refuse(element, url, "another_list", "Another list or a page, which is not followed.")
        elif url:
            self._add(url, element)
        elif kind or "xmlurl" in found or "htmlurl" in found:
            self._refuse(element, found.get("htmlurl", ""), "no_url", "The row names no feed.")
        elif name := _folder_name(found):
            around = self._folders.setdefault(name.casefold(), name)
        self._within.append(around)

    def _end(self, element: Element) -> None:
        if split_tag(str(element.tag))[1] == "outline" and self._within:
            self._within.pop()
        element.clear()

    def _count(self) -> None:
        self._outlines += 1
        if self._outlines > MOST_OUTLINES:
            raise OpmlRefused("too_many_outlines", f"A list may have {MOST_OUTLINES:,} outlines at most.")

    def _add(self, url: str, element: Element) -> None:
        try:
            feed = feed_of_url(url)
        except InvalidIdentifier as error:
            self._refuse(element, url, error.code, f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return
        folder = self._within[-1] if self._within else ""
        folders = self._feeds.setdefault(feed, [])
        if folder not in folders:
            folders.append(folder)

    def _refuse(self, element: Element, url: str, code: str, detail: str) -> None:
        self._bad.append(
            BadRow(cast("int | None", element.sourceline) or 0, url[:LONGEST_SHOWN], code, detail)
        )


def _is_cut_off(text: bytes) -> bool:
    """Whether a malformed document lacks the end of its outermost element, as after a broken download."""
    root = _ROOT.search(text)
    return root is not None and re.search(rb"</%s\s*>" % re.escape(root[1]), text, re.IGNORECASE) is None


def _folder_name(found: dict[str, str]) -> str:
    name = " ".join((found.get("text") or found.get("title", "")).split())
    return clean("".join(character for character in name if character.isprintable()))[:LONGEST_FOLDER].strip()


def _attributes(outline: Outline) -> dict[str, str]:
    """Return the attributes of an outline, in the order in which they are written."""
    url = url_of_feed(outline.feed)
    title = _characters(outline.title) or url
    link = {"htmlUrl": _characters(outline.link)} if outline.link else {}
    return {"type": "rss", "text": title, "title": title, "xmlUrl": url, **link}


def _characters(text: str) -> str:
    """Return the text on one line, without characters that XML does not allow."""
    return " ".join(legal(text).split())
