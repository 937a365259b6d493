"""What must not be read in a log is taken out of every line: tokens, passwords, addresses, private URLs.

By what it looks like, wherever it comes from: a library's message, PostgreSQL's words, a traceback. Our own
lines name routes, digests and kinds of failures in the first place; this is for what we did not think of.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

GONE: Final = "[redacted]"
# fields of a structured line that are never shown, whatever they hold
SECRET_FIELDS = re.compile(
    r"(?i)passw|secret|token|authorization|cookie|csrf|session|credential|api_?key|private_?key|e_?mail|jwt"
)
# a longer line loses its middle: a traceback says most at its end
LONGEST, BEGINNING = 20_000, 5_000

# PostgreSQL tells the row at fault, DETAIL and CONTEXT; psycopg hands it on
_ROWS = re.compile(r"(?m)^([ \t]*)(DETAIL|CONTEXT|STATEMENT|QUERY|PARAMETERS):.*$")
_SCHEME = re.compile(r"(?i)\b(?!https?\b)(bearer|basic|digest)\s+(?!realm=)[^\s,;\"']+")
# any address with a host: what somebody follows is nobody's business, and the path is where secrets are
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20})(?:://|:\\?/\\?/|%3a%2f%2f)[^\s\"'<>)\]}]+")
# the query of a path: /setup?token=…
_QUERY = re.compile(r"(?<=[\w/=~-])\?[^\s\"'<>)\]}]+")
_NAMED = re.compile(
    r"""(?ix) (["']?) \b ([\w-]{0,40}(?:passw(?:or)?d\d?|pwd|secret|token|authorization|cookie|csrf\w*
        |sessionid|api_?key|private_key|signature|credentials?)) \b \1 (\s*[:=]\s*)
        (?: "[^"]*" | '[^']*' | [^\s,;&"'})\]]+ )"""
)
_MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
# PEM, and what is left of it in one line
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)
# Base64 of 16 characters and more with letters of both cases and a digit: tokens, signatures, names of feeds
_BASE64 = re.compile(
    r"(?<![\w+/-])(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])(?=[\w+/-]*\d)[A-Za-z0-9_+/-]{16,}={0,2}"
)
# what opens an address of ours: to a hub, and to whoever sets a password or confirms an address
_CALLBACK = re.compile(
    r"(?<=\bwebsub/)[\w-]+|(?<=\bflow/)[\w-]+|(?<=\breset/)[\w-]+/[\w-]+|(?<=\bemail/)[\w-]+/[\w-]+"
)
# what has none of these characters needs no look
_SUSPICIOUS = re.compile(
    r"[=@?%]|://|:/|(?i:bearer|basic|digest|passw|secret|token|cookie)|[\w+/-]{16}|DETAIL|-----"
)


def text(line: str) -> str:
    """``line`` without what must not be read in a log."""
    if _SUSPICIOUS.search(line) is None:
        return line
    if len(line) > LONGEST:
        line = f"{line[:BEGINNING]} … {line[BEGINNING - LONGEST :]}"
    line = _PEM.sub(GONE, line)
    line = _ROWS.sub(rf"\1\2: {GONE}", line)
    line = _SCHEME.sub(rf"\1 {GONE}", line)
    line = _URL.sub(rf"\1://{GONE}", line)
    line = _QUERY.sub(f"?{GONE}", line)
    line = _NAMED.sub(rf"\1\2\1\3{GONE}", line)
    line = _MAIL.sub(GONE, line)
    line = _CALLBACK.sub(GONE, line)
    return _BASE64.sub(GONE, line)


def value(name: str, found: Any) -> Any:
    """A field of a line: numbers as they are, texts without secrets, and nothing of secret fields."""
    if found is None or isinstance(found, bool | int | float):
        return found
    if SECRET_FIELDS.search(name):
        return GONE
    if isinstance(found, str):
        return text(found)
    if isinstance(found, Mapping):
        return {str(key): value(str(key), inner) for key, inner in found.items()}
    if isinstance(found, list | tuple | set | frozenset):
        return [value("", inner) for inner in found]
    return text(str(found))
