"""Feeds and items in the addresses of pages: URL-safe base64 without padding."""

from urllib.parse import urlsplit

from django.http import Http404, HttpRequest

from eventstore.domain.identifiers import InvalidIdentifier, normalise_feed, normalise_item

_URL_SAFE = str.maketrans("+/", "-_")


def in_path(name: str) -> str:
    """Return a normalised feed or item in the form that addresses contain."""
    return name.rstrip("=").translate(_URL_SAFE)


def number_in(text: str, most: int) -> int | None:
    """Return a whole number from 0 to ``most`` in decimal digits; None for any other text, however long."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return int(text) if is_number and int(text) <= most else None


def is_web(address: str) -> bool:
    """Whether a browser may be sent to an address that a publisher wrote (http or https only)."""
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:
        return False


def asked_feed(request: HttpRequest) -> str:
    """Return the feed given by the query parameter ``feed``. Raises ``Http404`` if it is not a valid feed."""
    try:
        return normalise_feed(request.GET.get("feed", ""))
    except InvalidIdentifier:
        raise Http404 from None


def asked_item(request: HttpRequest) -> str:
    """Return the item given by the query parameter ``item``. Raises ``Http404`` if it is not a valid item."""
    try:
        return normalise_item(request.GET.get("item", ""))
    except InvalidIdentifier:
        raise Http404 from None


class FeedConverter:
    """A feed in a path; anything that is not a valid feed gives a 404."""

    regex = "[A-Za-z0-9_-]+"

    def to_python(self, text: str) -> str:
        return normalise_feed(text)

    def to_url(self, feed: str) -> str:
        return in_path(feed)


class ItemConverter(FeedConverter):
    """The item of an episode in a path."""

    def to_python(self, text: str) -> str:
        return normalise_item(text)
