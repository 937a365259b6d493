"""Parse plain RSS and Atom with Python's own XML parser, item by item. Pure.

Its elements are Python's own objects, made and read in less time than lxml's. It knows neither prefixes nor
xml:base and has no limits, so it reads only documents where that makes no difference, exactly as lxml would;
any other document is ``NotPlain``.
"""

from collections.abc import Callable
from xml.etree import ElementTree

from feeds.documents import Channel, Episode
from feeds.read.channels import read_channel
from feeds.read.context import Context, Element
from feeds.read.items import read_item
from feeds.read.names import is_root
from feeds.read.structure import Structure
from feeds.read.xml import MOST_ITEMS, NotWellFormed

LARGEST_ITEM = 512 * 1024  # bytes of a document without the end of an item: at most 30 MB of memory
_SLICE = 64 * 1024
_DEEPEST = 4  # levels of elements that may contain items: RSS has 2


class NotPlain(Exception):
    """The document has something that only lxml can read, or no items, or large ones, or very many."""


class PlainContext(Context):
    """The context of a document of which neither prefixes nor xml:base are known. Raises ``NotPlain`` where
    they matter."""

    def __init__(self, url: str, text: bytes) -> None:
        super().__init__(url)
        self._text = text

    def base_of(self, element: Element) -> str:
        if b"xml:base" in self._text:
            raise NotPlain("a relative URL")
        return ""

    def markup_in(self, element: Element) -> str:
        raise NotPlain("markup in a text")


class PlainReading:
    """One pass through a UTF-8 document, which passes on each episode once it is read.

    The document must have no DOCTYPE: only there can it declare entities, which this parser would expand.
    """

    def __init__(self, text: bytes, context: PlainContext, hand_on: Callable[[Episode], None]) -> None:
        self._text = text
        self._context = context
        self._hand_on = hand_on
        self._structure = Structure(context)
        self._kept: dict[ElementTree.Element, int] = {}

    def run(self) -> Channel:
        """Return the channel. Raises ``NotPlain``, ``NotWellFormed``."""
        builder = ElementTree.TreeBuilder()
        top = builder.start("", {})  # the root becomes its child, and can be looked at while it is incomplete
        parser = ElementTree.XMLParser(target=builder, encoding="utf-8")  # noqa: S314
        try:
            self._feed(parser, top)
            parser.close()
        except ElementTree.ParseError as error:
            raise NotWellFormed(str(error)) from error
        self._take_items(top, is_complete=True)
        root = top[0]
        if not self._structure.items or not is_root(root.tag):
            raise NotPlain("no items, or an unknown root")
        return read_channel(self._structure.described_by(root), self._context)

    def _feed(self, parser: ElementTree.XMLParser, top: ElementTree.Element) -> None:
        waiting = 0  # bytes since the last item
        for start in range(0, len(self._text), _SLICE):
            before = self._structure.items
            parser.feed(self._text[start : start + _SLICE])
            self._take_items(top, is_complete=False)
            waiting = 0 if self._structure.items > before else waiting + _SLICE
            if waiting > LARGEST_ITEM or self._structure.items >= MOST_ITEMS:
                raise NotPlain("a large item, or very many")

    def _take_items(self, parent: ElementTree.Element, *, is_complete: bool, level: int = 0) -> None:
        """Read and remove the complete items inside an element. ``is_complete``: the element itself is."""
        if level > _DEEPEST:
            raise NotPlain("deep")
        start = self._kept.get(parent, 0)
        # the last child of an incomplete element may be incomplete too
        children = parent[start:] if is_complete else parent[start:-1]
        kept = []
        for child in children:
            if self._structure.find_item(child, parent):
                episode = read_item(child, self._context)
                if episode is not None:
                    self._hand_on(episode)
            else:
                kept.append(child)
                if self._may_contain_items(child, level):
                    self._take_items(child, is_complete=True, level=level + 1)
        parent[start : start + len(children)] = kept
        self._kept[parent] = start + len(kept)
        if not is_complete and len(parent) and self._may_contain_items(parent[-1], level):
            self._take_items(parent[-1], is_complete=False, level=level + 1)

    def _may_contain_items(self, element: ElementTree.Element, level: int) -> bool:
        return level == 0 or self._structure.is_parent(element)
