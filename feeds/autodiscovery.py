"""Find the feeds that a web page names. Pure: bytes in, addresses out."""

import re
from collections.abc import Iterator
from typing import Any, Final

from lxml import etree, html
from msgspec import Struct

from eventstore.domain.identifiers import InvalidIdentifier, feed_of_url, url_of_feed
from feeds.read.values import resolve

MOST: Final = 20
LONGEST_TITLE: Final = 200
FEED_TYPES: Final = frozenset({
    "application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/xml", "text/xml",
})  # fmt: skip
# addresses of feeds that a page only links to in its text
_FEED_PATH: Final = re.compile(r"(?i)(?:\.(?:rss|atom|xml)|/(?:feed|rss|podcast\.rss))/?$")
_COMMENTS: Final = re.compile(r"(?i)\bcomments?\b")


class FeedLink(Struct):
    """The possible address of a feed, and its title on the page, or ""."""

    url: str
    title: str


def feeds_in(body: bytes, url: str) -> list[FeedLink]:
    """Return the feeds that a page from ``url`` declares for programs (``link rel=alternate``), or else those
    that it links to. Feeds of comments are left out where there are others."""
    page = _parsed(body)
    if page is None:
        return []
    base = _base(page, url)
    found = _usable(_alternates(page), base) or _usable(_anchors(page), base)
    return [link for link in found if not _COMMENTS.search(f"{link.url} {link.title}")] or found


def _parsed(body: bytes) -> Any:
    """Return the root of the document; None where it cannot be parsed."""
    try:
        body.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = None  # the parser then uses the encoding that the page declares
    parser = html.HTMLParser(encoding=encoding, no_network=True, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(body, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _base(page: Any, url: str) -> str:
    for element in page.iter("base"):
        return resolve(url, element.get("href") or "") or url
    return url


def _alternates(page: Any) -> Iterator[tuple[str, str]]:
    for element in page.iter("link"):
        relations = (element.get("rel") or "").lower().split()
        kind = (element.get("type") or "").partition(";")[0].strip().lower()
        if kind in FEED_TYPES and ("alternate" in relations or "feed" in relations):
            yield element.get("href") or "", element.get("title") or ""


def _anchors(page: Any) -> Iterator[tuple[str, str]]:
    for element in page.iter("a"):
        target = element.get("href") or ""
        kind = (element.get("type") or "").strip().lower()
        path = re.split(r"[?#]", target, maxsplit=1)[0]
        if kind in FEED_TYPES or _FEED_PATH.search(path):
            yield target, element.get("title") or element.text_content()


def _usable(named: Iterator[tuple[str, str]], base: str) -> list[FeedLink]:
    """Return the links with normalised feed addresses, each once."""
    found: dict[str, FeedLink] = {}
    for target, title in named:
        try:
            url = url_of_feed(feed_of_url(resolve(base, target)))
        except InvalidIdentifier:
            continue
        found.setdefault(url, FeedLink(url, " ".join(title.split())[:LONGEST_TITLE]))
        if len(found) == MOST:
            break
    return list(found.values())
