"""Feeds and items in the addresses of pages: base64 of the URL-safe alphabet, without padding."""

from eventstore.domain.identifiers import normalise_feed, normalise_item

_URL_SAFE = str.maketrans("+/", "-_")


def in_path(name: str) -> str:
    """A normalised feed or item, as an address holds it."""
    return name.rstrip("=").translate(_URL_SAFE)


class FeedConverter:
    """A feed in a path; whatever is none makes a 404."""

    regex = "[A-Za-z0-9_-]+"

    def to_python(self, text: str) -> str:
        return normalise_feed(text)

    def to_url(self, feed: str) -> str:
        return in_path(feed)


class ItemConverter(FeedConverter):
    """An episode's item in a path."""

    def to_python(self, text: str) -> str:
        return normalise_item(text)
