"""Convert bytes to UTF-8, whatever a server and a document declare as their encoding. Pure."""

import codecs
import re
from email.message import Message

_CHUNK = 1 << 16
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARATION = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
# Accepted encodings, by Python's names; not UTF-7, which hides markup, nor UTF-32, which nothing sends.
_MULTIBYTE = frozenset({
    "utf-8", "gb2312", "gbk", "gb18030", "hz", "big5", "big5hkscs", "cp950",
    "shift_jis", "cp932", "euc_jp", "iso2022_jp", "euc_kr", "cp949", "johab",
})  # fmt: skip
_SINGLE_BYTE = frozenset({
    *(f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))), *(f"cp125{page}" for page in range(9)),
    "ascii", "koi8-r", "koi8-u", "cp437", "cp850", "cp852", "cp866", "cp874", "tis-620", "mac-roman",
    "mac-cyrillic",
})  # fmt: skip
# As in browsers: a document that declares Latin-1 may contain the curly quotes of windows-1252
_ALIASES = {"iso8859-1": "cp1252", "ascii": "cp1252"}


def to_utf8(body: bytes, content_type: str) -> tuple[bytes, bool]:
    """Return the document in UTF-8 without a byte order mark, and whether its encoding had to be guessed.

    The first of these that decodes the whole body is used: the byte order mark, the charset of Content-Type,
    the XML declaration, UTF-8, windows-1252. A single-byte charset decodes anything and thus proves nothing:
    a body that is valid UTF-8 is read as UTF-8 instead.
    """
    name = _detect(body, content_type)
    if name == "utf-8":
        return body.removeprefix(codecs.BOM_UTF8), False
    if name:
        return body.decode(name).removeprefix("\ufeff").encode(errors="replace"), False
    return _guess(body).encode(), True


def _detect(body: bytes, content_type: str) -> str:
    """Return the encoding that decodes all of it; "" where none does."""
    for bom, name in _BOMS:
        if body.startswith(bom):
            return name if _decodes(body, name) else ""
    if body[:2] in (b"<\0", b"\0<"):
        name = "utf-16-le" if body[0] else "utf-16-be"
        return name if _decodes(body, name) else ""
    is_utf8 = _decodes(body, "utf-8")
    for name in (_from_header(content_type), _from_declaration(body)):
        if name in _SINGLE_BYTE and is_utf8:
            return "utf-8"
        if name and (is_utf8 if name == "utf-8" else _decodes(body, name)):
            return name
    return "utf-8" if is_utf8 else ""


def _from_header(content_type: str) -> str:
    message = Message()
    message["Content-Type"] = content_type[:1_000].replace("\r", " ").replace("\n", " ")
    charset = message.get_param("charset", "")
    return _known(charset) if isinstance(charset, str) else ""


def _from_declaration(body: bytes) -> str:
    found = _DECLARATION.match(body)
    return _known(found[1].decode("ascii")) if found else ""


def _known(charset: str) -> str:
    """Return Python's name of an accepted charset; "" for any other."""
    try:
        name = codecs.lookup(charset.strip().strip("'\"")).name
    except (LookupError, ValueError):
        return ""
    name = _ALIASES.get(name, name)
    return name if name in _MULTIBYTE or name in _SINGLE_BYTE else ""


def _decodes(body: bytes, name: str) -> bool:
    """Whether an encoding decodes the body. It works in pieces, because a text of 24 MB would take up to four
    times as much memory."""
    decoder = codecs.getincrementaldecoder(name)()
    view = memoryview(body)
    try:
        for start in range(0, len(body), _CHUNK):
            decoder.decode(view[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _guess(body: bytes) -> str:
    """Decode as UTF-8 if only a part is broken, such as the end of a truncated body; else as windows-1252."""
    text = body.decode("utf-8", errors="replace")
    strange = len(text) - len(text.encode("ascii", errors="ignore"))
    if text.count("\ufffd") * 2 <= strange or text.rstrip("\ufffd").isascii():
        return text
    return body.decode("cp1252", errors="replace")
