"""Parse RSS and Atom with lxml, item by item: only one item and the channel are in memory at a time. Pure."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from lxml import etree

from feeds.documents import Channel, Episode
from feeds.read.channels import read_channel
from feeds.read.context import Context, Element
from feeds.read.items import read_item
from feeds.read.names import is_root, split_tag
from feeds.read.structure import Structure

MOST_ITEMS = 20_000  # further items are ignored
MOST_MARKUP = 150_000  # tags and attributes within one item: about 30 MB of memory
_SLICE = 64 * 1024
_ITEM_TAGS = ("{*}item", "{*}entry", "{*}liveItem", "podcast:liveItem")


class NotWellFormed(Exception):
    """The document is not XML, or one of its items has more markup than is allowed; parts may be readable."""


class NoFeed(Exception):
    """The document is XML, but neither RSS nor Atom."""


def guarded_parser(**options: Any) -> etree.XMLPullParser:
    """Return a parser for untrusted UTF-8 documents: no entities, no DTD, no network access, no huge texts.

    ``options``: further arguments for lxml's ``XMLPullParser``.
    """
    return etree.XMLPullParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=True,
        **options,
    )


class Reading:
    """One pass through a UTF-8 document. ``recover``: continue after markup that is not well-formed.

    ``is_cut``: not all of it was read.
    """

    def __init__(self, text: bytes, context: Context, *, recover: bool) -> None:
        self.is_cut = False
        self._text = text
        self._context = context
        self._recover = recover
        self._structure = Structure(context)

    def run(self, hand_on: Callable[[Episode], None]) -> Channel:
        """Pass on each episode once it is read; return the channel. Raises ``NotWellFormed``, ``NoFeed``."""
        parser = guarded_parser(
            events=("end",),
            tag=_ITEM_TAGS,
            recover=self._recover,
            # ids of elements are not needed, but with a DTD, not collecting them would count as an error
            collect_ids=b"<!DOCTYPE" in self._text[:_SLICE],
        )
        try:
            return self._channel(self._read_items(parser, hand_on))
        except etree.XMLSyntaxError as error:
            raise NotWellFormed(str(error)) from error

    def _read_items(self, parser: etree.XMLPullParser, hand_on: Callable[[Episode], None]) -> etree._Element:
        """Return the root, from which all items but the last were removed."""
        previous: etree._Element | None = None
        for item in self._parse(parser):
            episode = self._read_item(item)
            if episode is not None:
                hand_on(episode)
            # each is removed one item late, because the parser may still add text after the last one
            if previous is not None and (parent := previous.getparent()) is not None:
                parent.remove(previous)
            previous = item
        if self.is_cut and previous is not None:
            return previous.getroottree().getroot()
        return parser.close()

    def _parse(self, parser: etree.XMLPullParser) -> Iterator[etree._Element]:
        """Yield the complete items of the document, up to the limits."""
        markup = 0
        for start in range(0, len(self._text), _SLICE):
            piece = self._text[start : start + _SLICE]
            parser.feed(piece)
            before = self._structure.items
            for _, found in parser.read_events():
                element = cast(etree._Element, found)
                if self._structure.find_item(element, element.getparent()):
                    yield element
            items = self._structure.items
            markup = 0 if items > before else markup + piece.count(b"<") + piece.count(b"=")
            if markup > MOST_MARKUP or items >= MOST_ITEMS:
                return self._cut("too_much_markup" if markup > MOST_MARKUP else "too_many_items")
        return None

    def _cut(self, reason: str) -> None:
        if reason == "too_much_markup" and not self._recover:
            raise NotWellFormed(reason)
        self._context.warn(reason)
        self.is_cut = True

    def _read_item(self, element: Element) -> Episode | None:
        return read_item(element, self._context) if self._structure.items <= MOST_ITEMS else None

    def _channel(self, root: Element | None) -> Channel:
        if root is None or not is_root(root.tag):
            raise NoFeed
        parts = self._structure.described_by(root)
        if not self._structure.items and len(parts) == 1 and self._looks_fuller(root):
            raise NoFeed
        return read_channel(parts, self._context)

    def _looks_fuller(self, root: Element) -> bool:
        """Whether the document must contain more than was found."""
        return split_tag(root.tag)[1] in ("rdf", "channel") or (self._recover and b"<item" in self._text)
