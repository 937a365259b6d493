"""Determine from a document's first bytes whether it may be a feed, and whether it is safe to parse. Pure."""

import re

from feeds.documents import UnreadableFeed
from feeds.read.names import is_root

_LOOKED_AT = 64 * 1024  # bytes
_MISCELLANY = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_DOCTYPE = re.compile(rb"<!DOCTYPE\s+([^\s>\[]+)([^\[>]*)", re.IGNORECASE)
_SUBSET = re.compile(
    rb"""\[(?:<!--.*?-->|<\?.*?\?>|"[^"]*"|'[^']*'|<(?!!--|\?)|[^]<"'])*+\]\s*>""", re.DOTALL
)
_FIRST_ELEMENT = re.compile(rb"<([A-Za-z_][\w:.-]*)")
_DECLARATION = re.compile(rb"<\?xml\s")
_HTML = re.compile(rb"<(?:!doctype\s+)?html", re.IGNORECASE)


class Beginning:
    """The start of a document. ``text``: the document from its first markup on. ``has_doctype``: HTML's
    entities may be used.

    ``is_damaged``: it was preceded by something that is not XML. ``root``: the first element's name.
    """

    def __init__(self, text: bytes, is_damaged: bool, has_doctype: bool, root: str) -> None:
        self.text = text
        self.is_damaged = is_damaged
        self.has_doctype = has_doctype
        self.root = root


def inspect(text: bytes) -> Beginning:
    """Inspect a document. Raises ``UnreadableFeed`` if it is empty, HTML or JSON, or declares any entity."""
    text = text.lstrip()
    head = text[:_LOOKED_AT]
    if not head:
        raise UnreadableFeed("not_a_feed", "the document is empty")
    if head.startswith((b"{", b"[")):
        is_feed = b"jsonfeed.org/version" in head
        code, kind = ("unsupported", "a JSON Feed") if is_feed else ("not_a_feed", "JSON")
        raise UnreadableFeed(code, f"the document is {kind}, not RSS or Atom")
    beginning = _inspect(text, is_damaged=False)
    if is_root(beginning.root):
        return beginning
    # error messages of a broken program often precede the document
    declaration = _DECLARATION.search(head, 1)
    html = _HTML.search(head)
    if html is None and declaration is not None:
        return _inspect(text[declaration.start() :], is_damaged=True)
    if html is not None or not beginning.root:
        raise UnreadableFeed("not_a_feed", "the document is a web page" if html else "the document is no XML")
    return beginning


def _inspect(text: bytes, *, is_damaged: bool) -> Beginning:
    head = text[:_LOOKED_AT]
    position = _after_miscellany(head, 0)
    doctype = _DOCTYPE.match(head, position)
    if doctype:
        subset = _SUBSET.match(head, doctype.end())
        if head[doctype.end() : doctype.end() + 1] == b"[":
            _refuse_entities(head[doctype.end() : subset.end() if subset else None], is_whole=bool(subset))
        position = _after_miscellany(head, subset.end() if subset else doctype.end() + 1)
    element = _FIRST_ELEMENT.match(head, position)
    return Beginning(
        text, is_damaged, bool(doctype), element[1].decode("ascii", "replace") if element else ""
    )


def _after_miscellany(head: bytes, position: int) -> int:
    found = _MISCELLANY.match(head, position)
    return found.end() if found else position


def _refuse_entities(subset: bytes, *, is_whole: bool) -> None:
    if b"<!ENTITY" in subset or not is_whole:
        raise UnreadableFeed("unsupported", "the document declares entities of its own")
