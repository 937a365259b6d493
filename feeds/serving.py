"""Serve rendered feeds over HTTP: validators, 304, gzip, and headers that keep browsers from running them."""

import gzip
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Final, Self

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date
from msgspec import Struct

CONTENT_TYPE: Final = "application/rss+xml; charset=utf-8"
HEADERS: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}
_TAKES_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")


class Rendered(Struct, frozen=True):
    """A feed as it is cached: compressed, with the digest of its uncompressed form."""

    gzipped: bytes
    digest: str
    changed_at: datetime

    @classmethod
    def of(cls, document: bytes, changed_at: datetime) -> Self:
        digest = blake2b(document, digest_size=16).hexdigest()
        return cls(gzip.compress(document, 6, mtime=0), digest, changed_at)


def respond(
    request: HttpRequest, rendered: Rendered, headers: Mapping[str, str], *, by_time: bool = True
) -> HttpResponseBase:
    """Return the feed, or a 304 where the client has it already.

    ``by_time``: whether ``changed_at`` reflects every change; if not, only the client's ETag is compared.
    """
    takes_gzip = _TAKES_GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", "")) is not None
    content = rendered.gzipped if takes_gzip else gzip.decompress(rendered.gzipped)
    # two representations need two strong validators
    etag = f'"{rendered.digest}{"-gz" if takes_gzip else ""}"'
    changed_at = int(rendered.changed_at.timestamp())
    response = HttpResponse(content, content_type=CONTENT_TYPE, headers={**HEADERS, **headers})
    response.headers["ETag"], response.headers["Last-Modified"] = etag, http_date(changed_at)
    response.headers["Content-Length"] = str(len(content))
    if takes_gzip:
        response.headers["Content-Encoding"] = "gzip"
    last_modified = changed_at if by_time else None
    return get_conditional_response(request, etag, last_modified, response) or response
