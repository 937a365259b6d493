"""Identifiers and figures in the form in which people read them. Pure."""

from urllib.parse import unquote, urlsplit

from eventstore.domain.identifiers import parts_of_item, url_of_feed

LONGEST = 120


def feed_words(feed: str) -> tuple[str, str]:
    """A feed, until its title is known: the host of its address, and what follows there."""
    parts = urlsplit(url_of_feed(feed))
    query = f"?{parts.query}" if parts.query else ""
    return shortened(parts.netloc), shortened(f"{parts.path}{query}")


def episode_name(item: str) -> str:
    """An episode by the file name of its enclosure, or by its GUID where that says more."""
    guid, enclosure = parts_of_item(item)
    return shortened(_file_name(enclosure) or guid or enclosure)


def clock(seconds: int) -> str:
    """``12:07`` or ``1:02:03``."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _file_name(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:  # an enclosure is whatever the app sent: http://[ is one
        return ""
