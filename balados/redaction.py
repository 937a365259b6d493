"""Removes from every log line what must not be read there: tokens, passwords, addresses, private URLs.

Secrets are recognised by their form, wherever they come from: a library's message, an error of PostgreSQL, a
traceback. Our own log lines contain only routes, digests and kinds of failures to begin with; this module
catches what we did not think of.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

GONE: Final = "[redacted]"
# fields of a structured line whose values are never shown
SECRET_FIELDS = re.compile(
    r"(?i)passw|secret|token|authorization|cookie|csrf|session|credential|api_?key|private_?key|e_?mail|jwt"
)
# characters: a longer line loses its middle, because the end of a traceback says most
LONGEST, BEGINNING = 20_000, 5_000

# PostgreSQL reports the offending row in DETAIL and CONTEXT, and psycopg passes it on
_ROWS = re.compile(r"(?m)^([ \t]*)(DETAIL|CONTEXT|STATEMENT|QUERY|PARAMETERS):.*$")
_SCHEME = re.compile(r"(?i)\b(?!https?\b)(bearer|basic|digest)\s+(?!realm=)[^\s,;\"']+")
# any URL with a host: what somebody follows is private, and paths may contain secrets
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20})(?:://|:\\?/\\?/|%3a%2f%2f)[^\s\"'<>)\]}]+")
# the query of a path: /setup?token=…
_QUERY = re.compile(r"(?<=[\w/=~-])\?[^\s\"'<>)\]}]+")
_NAMED = re.compile(
    r"""(?ix) (["']?) \b ([\w-]{0,40}(?:passw(?:or)?d\d?|pwd|secret|token|authorization|cookie|csrf\w*
        |sessionid|api_?key|private_key|signature|credentials?)) \b \1 (\s*[:=]\s*)
        (?: "[^"]*" | '[^']*' | [^\s,;&"'})\]]+ )"""
)
_MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
# PEM blocks, including those whose end is cut off
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)
# Base64 of at least 16 characters with upper-case and lower-case letters and a digit: tokens, signatures,
# names of feeds
_BASE64 = re.compile(
    r"(?<![\w+/-])(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])(?=[\w+/-]*\d)[A-Za-z0-9_+/-]{16,}={0,2}"
)
# the secret part of our own URLs: callbacks of hubs, log-in flows, password resets and address confirmations
_CALLBACK = re.compile(
    r"(?<=\bwebsub/)[\w-]+|(?<=\bflow/)[\w-]+|(?<=\breset/)[\w-]+/[\w-]+|(?<=\bemail/)[\w-]+/[\w-]+"
)
# a line without any of these needs no closer look
_SUSPICIOUS = re.compile(
    r"[=@?%]|://|:/|(?i:bearer|basic|digest|passw|secret|token|cookie)|[\w+/-]{16}|DETAIL|-----"
)


def text(line: str) -> str:
    """Return ``line`` without what must not be read in a log."""
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
    """Return the value of a log field: numbers unchanged, texts without secrets, and nothing of secret
    fields."""
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
