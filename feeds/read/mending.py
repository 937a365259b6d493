"""Repair a document that is not well-formed, as far as possible. Pure."""

import re
from html.entities import html5

from feeds.read.values import legal

# CDATA is matched only to be skipped; XML's own entities are not matched at all
_REFERENCE = re.compile(
    rb"<!\[CDATA\[.*?(?:\]\]>|\Z)"
    rb"|&(?!(?:amp|lt|gt|quot|apos);)(?:(?:([A-Za-z][A-Za-z0-9]{1,31})|#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6}));)?",
    re.DOTALL,
)
_MOST = 500_000  # maximum number of repairs: half a second of work
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r")


def mend(text: bytes) -> bytes:
    """Repair UTF-8 text: HTML's named entities become characters, lone ampersands are escaped, and control
    characters are removed."""
    plain = text.translate(None, delete=_CONTROLS)
    return _REFERENCE.sub(lambda found: _spell(found, lone=b"&amp;"), plain, count=_MOST)


def replace_entities(text: bytes) -> bytes:
    """Replace only HTML's named entities in UTF-8 text; an old DOCTYPE may define them."""
    return _REFERENCE.sub(lambda found: _spell(found, lone=b"&"), text, count=_MOST)


def _spell(found: re.Match[bytes], lone: bytes) -> bytes:
    whole: bytes = found[0]
    name, decimal, hexadecimal = found.groups()
    if name is not None:
        characters = html5.get(f"{name.decode('ascii')};")
        return lone + whole[1:] if characters is None else characters.encode()
    if decimal or hexadecimal:
        return whole if _is_character(int(decimal) if decimal else int(hexadecimal, 16)) else b""
    return lone if whole == b"&" else whole


def _is_character(code: int) -> bool:
    """Whether XML 1.0 allows this character."""
    return code < 0x110000 and legal(chr(code)) != ""
