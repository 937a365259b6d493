"""Lists of podcasts as txt, JSON, JSONP, OPML and XML: all are written, and txt, JSON and OPML are read as
well."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final
from xml.etree import ElementTree  # only for writing

from django.http import HttpResponse

from api.gpodder.access import Call, bad, decoded, encoded
from api.gpodder.objects import scaled
from eventstore.domain.identifiers import feed_of_url, url_of_feed
from feeds.opml import OpmlRefused, Outline, read_opml, write_opml

FORMATS: Final = ("txt", "json", "jsonp", "opml", "xml")
READ: Final = ("txt", "json", "opml")
MOST_LINES: Final = 50_000
CALLBACK: Final = re.compile("[A-Za-z0-9_]{1,64}")

Podcast = dict[str, Any]


def write_urls(call: Call, urls: Sequence[str], fmt: str) -> HttpResponse:
    """Answer with a list that has only addresses."""
    if fmt in ("json", "jsonp"):
        return _json(call, list(urls), fmt)
    return write_podcasts(
        call,
        [{"url": url, "title": "", "description": "", "website": "", "logo_url": None} for url in urls],
        fmt,
    )


def write_podcasts(call: Call, podcasts: Sequence[Podcast], fmt: str) -> HttpResponse:
    """Answer with a list of podcasts. Raises ``ApiError`` 400 for an unknown format."""
    if fmt in ("json", "jsonp"):
        return _json(call, scaled(call, podcasts), fmt)
    if fmt == "txt":
        return HttpResponse(
            "".join(f"{one['url']}\n" for one in podcasts), content_type="text/plain; charset=utf-8"
        )
    if fmt == "opml":
        outlines = [
            Outline(feed_of_url(one["url"]), one["title"] or one["url"], one["website"]) for one in podcasts
        ]
        return HttpResponse(write_opml("Balados", call.now, [("", outlines)]), content_type="text/x-opml+xml")
    if fmt == "xml":
        return HttpResponse(_xml(scaled(call, podcasts)), content_type="application/xml")
    raise bad(f"Formats are {', '.join(FORMATS)}.")


def read_urls(call: Call, fmt: str) -> list[Any]:
    """Return the addresses in a list that was sent. Raises ``ApiError`` 400."""
    if fmt == "json":
        found = decoded(call.body)
        if not isinstance(found, list):
            raise bad("The body must be a JSON list.")
        return [one.get("url") if isinstance(one, dict) else one for one in found]
    if fmt == "txt":
        return _lines(call.body)
    if fmt == "opml":
        try:
            return [url_of_feed(feed) for feed in read_opml(call.body).feeds]
        except OpmlRefused as refused:
            raise bad(str(refused)) from None
    raise bad(f"Lists are taken as {', '.join(READ)}.")


def _lines(raw: bytes) -> list[str]:
    try:
        lines = [line.strip() for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise bad("The body is not UTF-8.") from None
    if len(lines) > MOST_LINES:
        raise bad(f"A list has {MOST_LINES:,} lines at most.")
    return lines


def _json(call: Call, found: list[Any], fmt: str) -> HttpResponse:
    callback = call.query.get("jsonp", "")
    if fmt == "json" and not callback:
        return encoded(found)
    if not CALLBACK.fullmatch(callback):
        raise bad("jsonp names a function: letters, digits and _, at most 64.")
    text = f"{callback}({json.dumps(found)})"
    return HttpResponse(text, content_type="text/javascript; charset=utf-8")


def _xml(podcasts: Sequence[Podcast]) -> bytes:
    root = ElementTree.Element("podcasts")
    for one in podcasts:
        podcast = ElementTree.SubElement(root, "podcast")
        for name, value in one.items():
            text = "" if value is None else str(value)
            ElementTree.SubElement(podcast, name).text = "".join(
                c for c in text if c.isprintable() or c in "\t\n"
            )
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
