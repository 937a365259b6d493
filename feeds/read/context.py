"""What all elements of one document share: its address, the names of its elements, its warnings. Pure."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast
from xml.etree import ElementTree

from lxml import etree

from feeds.read import values
from feeds.read.names import short_name, split_tag
from feeds.read.values import is_plain_url

Element: TypeAlias = etree._Element | ElementTree.Element  # lxml's or Python's own
_MOST_TAGS = 2_000  # remembered per document; real documents have about 60
PLAIN_URL = 500  # characters: a URL with fewer is within the limit of bytes, whatever they are
_NAMESPACES = re.compile(r' xmlns(?::[\w.-]+)?="[^"]*"')
T = TypeVar("T")

WARNINGS = {
    "not_well_formed": "The document is not well-formed XML; what could be read of it was.",
    "encoding_guessed": "The document is not in the encoding that it claims.",
    "too_many_items": "Only the first 20,000 items were looked at.",
    "old_items_left_out": "Only the newest 10,000 items were kept.",
    "too_much_markup": "The document was cut where an item has too many elements.",
    "items_without_name": "Items with neither a GUID nor an enclosure were left out.",
    "title_cut": "Titles were cut at 1,000 characters.",
    "description_cut": "Descriptions were cut at 256 KB.",
    "url_too_long": "URLs longer than 2,000 bytes were left out.",
    "enclosure_refused": "Enclosures that are not http or https were left out.",
    "guid_too_long": "GUIDs longer than 2,048 bytes were replaced by their digest.",
    "extra_cut": "Elements of the podcast namespace beyond the size limit were left out.",
    "chapters_cut": "Chapters beyond the first 500 were left out.",
}


class Context:
    """The context of a document. An element in the namespace of the document's own items is treated as RSS,
    or as Atom in an Atom feed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.warnings: dict[str, None] = {}
        self._own: tuple[str, str] = ("", "")
        self._tables: dict[int, _ByTag[Any]] = {}

    def adopt(self, element: Element) -> None:
        """Treat the namespace of an item, or of the root, as the document's own."""
        namespace, local = split_tag(element.tag)
        self._own = (namespace, "atom" if local in ("entry", "feed") else "")
        self._tables.clear()

    def name(self, element: Element) -> str:
        """Return the short name of an element; "" where it is unknown."""
        # the tag of an entity reference or the like is a function
        return short_name(element.tag, *self._own) if isinstance(element.tag, str) else ""

    def by_tag(self, by_name: Mapping[str, T]) -> Mapping[Any, T | None]:
        """Return the same table, keyed by this document's tags; None for tags that are not in it."""
        table = self._tables.get(id(by_name))
        if table is None:
            table = self._tables[id(by_name)] = _ByTag(by_name, self._own)
        return table

    def warn(self, code: str) -> None:
        self.warnings[code] = None

    def link(self, text: str | None, element: Element) -> str:
        """Return the absolute web address, resolved by xml:base and the document's own; "" if invalid."""
        if not text:
            return ""
        if is_plain_url(text):
            return text if len(text) < PLAIN_URL else self.limited(text)
        base = values.resolve(self.url, self.base_of(element)) or self.url
        return self.limited(values.resolve(base, text))

    def base_of(self, element: Element) -> str:
        """Return the xml:base that applies to an element; "" if there is none."""
        return cast(etree._Element, element).base or ""

    def text_of(self, element: Element) -> str:
        """Return the text of an element, including the markup of elements inside it."""
        if not len(element):
            return element.text or ""
        return f"{element.text or ''}{self.markup_in(element)}".strip()

    def markup_in(self, element: Element) -> str:
        """Return the elements inside an element as markup, with the text that follows each."""
        children = cast(etree._Element, element)
        markup = "".join(str(etree.tostring(child, encoding="unicode")) for child in children)
        return _NAMESPACES.sub("", markup)

    def limited(self, url: str) -> str:
        if len(url.encode(errors="replace")) <= values.LONGEST_URL:
            return url
        self.warn("url_too_long")
        return ""

    def title(self, text: str) -> str:
        if len(text) > values.LONGEST_TITLE:
            self.warn("title_cut")
            text = text[: values.LONGEST_TITLE]
        return values.clean(text)

    def description(self, text: str) -> str:
        cut = values.cut_bytes(text, values.LONGEST_DESCRIPTION)
        if len(cut) < len(text):
            self.warn("description_cut")
        return values.clean(cut)


class _ByTag(dict[Any, T | None]):
    """A table filled when tags are first seen: a lookup must be very cheap, because a document has up to
    millions of elements."""

    def __init__(self, by_name: Mapping[str, T], own: tuple[str, str]) -> None:
        super().__init__()
        self._by_name = by_name
        self._own = own

    def __missing__(self, tag: object) -> T | None:
        found = self._by_name.get(short_name(tag, *self._own)) if isinstance(tag, str) else None
        if len(self) < _MOST_TAGS:
            self[tag] = found
        return found


def plain_text_of(element: Element) -> str:
    """Return the text of an element without any markup."""
    return (element.text or "").strip() if not len(element) else "".join(map(str, element.itertext())).strip()


def attributes_of(element: Element) -> list[tuple[str, str]]:
    return cast("list[tuple[str, str]]", element.items())
