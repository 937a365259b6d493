"""What all elements of one document share: its address, its names, its warnings. Pure."""

from typing import cast

from lxml import etree

from feeds.read import values
from feeds.read.names import short_name, split_tag

Element = etree._Element
_MOST_NAMES = 2_000  # remembered of one document; real ones have about 60

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
    """An element in the namespace of the document's own items counts as RSS, or as Atom in a feed of Atom."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._own: tuple[str, str] = ("", "")
        self.warnings: dict[str, None] = {}
        self._names: dict[str, str] = {}

    def name(self, element: Element) -> str:
        """The short name of an element; "" where it has none of ours."""
        tag = element.tag
        name = self._names.get(tag)
        return self._learn(tag) if name is None else name

    def adopt(self, element: Element) -> None:
        """Take the namespace of an item, or of the root, for the document's own."""
        namespace, local = split_tag(element.tag)
        self._own = (namespace, "atom" if local in ("entry", "feed") else "")
        self._names.clear()

    def warn(self, code: str) -> None:
        self.warnings[code] = None

    def link(self, text: str | None, element: Element) -> str:
        """The absolute web address that is meant, resolved against xml:base and the document's own; or ""."""
        if not text:
            return ""
        url = values.web_url(text) or values.resolve(self._base_of(element), text)
        if len(url) > values.LONGEST_URL or (not url.isascii() and len(url.encode()) > values.LONGEST_URL):
            self.warn("url_too_long")
            return ""
        return url

    def title(self, text: str) -> str:
        if len(text) > values.LONGEST_TITLE:
            self.warn("title_cut")
        return values.clean(text[: values.LONGEST_TITLE])

    def description(self, text: str) -> str:
        cut = values.cut_bytes(text, values.LONGEST_DESCRIPTION)
        if cut is not text and len(cut) < len(text):
            self.warn("description_cut")
        return values.clean(cut)

    def _base_of(self, element: Element) -> str:
        return values.resolve(self.url, element.base or "") or self.url

    def _learn(self, tag: object) -> str:
        # entity references and the like have functions for tags
        name = short_name(tag, *self._own) if isinstance(tag, str) else ""
        if isinstance(tag, str) and len(self._names) < _MOST_NAMES:
            self._names[tag] = name
        return name


def text_of(element: Element) -> str:
    """The text of an element; of one with elements inside, their markup too."""
    if not len(element):
        return (element.text or "").strip()
    markup = (str(etree.tostring(child, encoding="unicode")) for child in element)
    return "".join([element.text or "", *markup]).strip()


def plain_text_of(element: Element) -> str:
    """The text of an element without any markup."""
    return (element.text or "").strip() if not len(element) else "".join(map(str, element.itertext())).strip()


def attributes_of(element: Element) -> list[tuple[str, str]]:
    return cast("list[tuple[str, str]]", element.items())
