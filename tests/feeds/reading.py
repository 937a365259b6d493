"""Documents for the reader, and what it reads from them."""

from collections.abc import Callable
from pathlib import Path

from feeds.documents import Document, Episode, UnreadableFeed
from feeds.read import read

CORPORA = Path(__file__).parents[3] / "shared" / "data" / "feeds"
URL = "https://show.example/feed.xml"
NAMESPACES = (
    'xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" '
    'xmlns:podcast="https://podcastindex.org/namespace/1.0" '
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" '
    'xmlns:media="http://search.yahoo.com/mrss/" '
    'xmlns:atom="http://www.w3.org/2005/Atom" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:psc="http://podlove.org/simple-chapters"'
)


def rss(*items: str, channel: str = "<title>A show</title>", namespaces: str = NAMESPACES) -> bytes:
    """A document whose items have these contents."""
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f'<rss version="2.0" {namespaces}><channel>{channel}{inside}</channel></rss>'.encode()


def read_all(body: bytes, content_type: str = "", url: str = URL) -> tuple[Document, list[Episode]]:
    """The document as it was read, and the episodes of the reader's last attempt."""
    episodes: list[Episode] = []

    def begin() -> Callable[[Episode], None]:
        episodes.clear()
        return episodes.append

    return read(body, content_type=content_type, url=url, begin=begin), episodes


def read_item(item: str, channel: str = "") -> Episode:
    """The only episode of a document with this item."""
    _, episodes = read_all(rss(item, channel=channel))
    (episode,) = episodes
    return episode


def code_of(body: bytes, content_type: str = "") -> str:
    """The code with which a document was refused; "" if it was read."""
    try:
        read_all(body, content_type)
    except UnreadableFeed as refusal:
        return refusal.code
    return ""
