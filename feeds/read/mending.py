"""What makes of a document that is not well-formed one that is nearer to it. Pure."""

import re
from html.entities import html5

_BY_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
# CDATA is found to be passed over
_REFERENCE = re.compile(
    rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?:([A-Za-z][A-Za-z0-9]{1,31});|(#[0-9]{1,7};|#[xX][0-9A-Fa-f]{1,6};))?",
    re.DOTALL,
)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r")


def mend(text: bytes) -> bytes:
    """UTF-8 in and out: HTML's named entities become characters, lone ampersands are escaped, control
    characters dropped."""
    plain = text.translate(None, delete=_CONTROLS)
    return _REFERENCE.sub(lambda found: _spell(found, lone=b"&amp;"), plain)


def replace_entities(text: bytes) -> bytes:
    """UTF-8 in and out: the named entities of HTML alone, which an old DOCTYPE may define."""
    return _REFERENCE.sub(lambda found: _spell(found, lone=b"&"), text)


def _spell(found: re.Match[bytes], lone: bytes) -> bytes:
    whole: bytes = found[0]
    if not whole.startswith(b"&") or found[2]:
        return whole
    if found[1] is None:
        return lone
    name = found[1].decode("ascii")
    if name in _BY_XML:
        return whole
    characters = html5.get(f"{name};")
    return lone + whole[1:] if characters is None else characters.encode()
