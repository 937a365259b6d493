"""Feeds that an origin serves, their rows in the database, and one run of a pump over them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from django.utils import timezone

from eventstore.domain.identifiers import feed_of_url
from feeds.fetch import Limits, fetch
from feeds.models import Episode, Feed, FeedSchedule
from feeds.pump import Pump
from feeds.store import ensure
from tests.feeds.origin import Origin

FIRST = datetime(2026, 1, 1, 6, tzinfo=UTC)


def item(number: int, /, **changes: str | None) -> str:
    """An item of an RSS feed, dated one day later than the item before; a part that is None is left out."""
    parts: dict[str, str | None] = {
        "title": f"Episode {number}",
        "guid": f"guid-{number}",
        "description": "What happened.",
        "enclosure": f"https://audio.example/{number}.mp3",
        "date": format_datetime(FIRST + timedelta(days=number)),
        **changes,
    }
    url, date = parts.pop("enclosure"), parts.pop("date")
    texts = [f"<{name}>{escape(text)}</{name}>" for name, text in parts.items() if text is not None]
    if url is not None:
        texts.append(f'<enclosure url="{escape(url)}" type="audio/mpeg" length="9"/>')
    if date is not None:
        texts.append(f"<pubDate>{date}</pubDate>")
    return f"<item>{''.join(texts)}</item>"


def rss(*items: str, title: str = "Show", more: str = "") -> bytes:
    """A feed of these items, which are given newest first, as publishers do."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>{title}</title>'
        f"<link>https://show.example/</link><description>About.</description>{more}"
        f"{''.join(items)}</channel></rss>"
    ).encode()


def show(*numbers: int, title: str = "Show") -> bytes:
    return rss(*(item(number) for number in sorted(numbers, reverse=True)), title=title)


def follow(origin: Origin, *paths: str, hosts: Sequence[str] = ("127.0.0.1",)) -> list[int]:
    """Make feeds that are due now, one for each path at each host; return their ids."""
    names = [feed_of_url(origin.url(path, host=host)) for host in hosts for path in paths]
    found = ensure(names, timezone.now(), asked=True)
    return [found.ids[name] for name in names]


def pump(number: int = 0, pumps: int = 1, *, limits: Limits | None = None, **options: Any) -> int:
    """Run a pump until nothing is due, without pacing unless a test sets it."""
    if limits is not None:
        options["fetching"] = partial(fetch, limits=limits)
    return Pump(number, pumps, **{"pace": 0.0, **options}).run()


def make_due(feed_ids: Iterable[int] | None = None) -> None:
    rows = FeedSchedule.objects.all() if feed_ids is None else FeedSchedule.objects.filter(pk__in=feed_ids)
    rows.update(next_at=timezone.now() - timedelta(seconds=1))


def schedule(feed_id: int) -> FeedSchedule:
    return FeedSchedule.objects.select_related("feed", "host").get(pk=feed_id)


def feed(feed_id: int) -> Feed:
    return Feed.objects.get(pk=feed_id)


def titles(feed_id: int) -> list[str]:
    """The titles of the episodes that are not gone, newest first."""
    rows = Episode.objects.filter(feed=feed_id, gone_at=None).order_by("-sort_at")
    return list(rows.values_list("title", flat=True))


def versions(feed_id: int) -> list[tuple[int, int]]:
    """The ids of episodes with their ``xmin``, by which PostgreSQL shows whether a row was written."""
    rows = Episode.objects.filter(feed=feed_id).extra(select={"xmin": "xmin::text::bigint"}).order_by("pk")
    return list(rows.values_list("pk", "xmin"))
