"""Podcasts and episodes as gpodder's clients expect them: with every field, always."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import get_script_prefix

from api.gpodder.access import Call, bad
from eventstore.domain.identifiers import feed_key_of, parts_of_item, url_of_feed
from feeds.covers import SIZES
from feeds.queries import EpisodeShown, FeedShown, episodes_of, feeds_for, public_feeds
from projections.connect import run

USUAL_LOGO, LARGEST_LOGO = 64, 256
SUBSCRIBERS = """
SELECT rss_source_feed, subscribers FROM public.podcast_popularity WHERE feed_key = ANY(%s::uuid[])
"""


def podcasts(call: Call, feeds: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is known of these feeds; of secret ones, only to those who follow them."""
    known = public_feeds(feeds) if call.who is None else feeds_for(call.who.user_id, feeds)
    counts = dict(run(SUBSCRIBERS, [[feed_key_of(feed) for feed in feeds]]).fetchall())
    return [podcast(feed, known.get(feed), counts.get(feed, 0)) for feed in feeds]


def podcast(
    feed: str, known: FeedShown | None, subscribers: int, subscribers_last_week: int = 0
) -> dict[str, Any]:
    """Return a podcast. The directory sets ``position_last_week`` where it is known."""
    url = url_of_feed(feed)
    cover = None if known is None or known.cover is None else absolute(known.cover)
    return {
        "url": url,
        "title": known.title if known else "",
        "author": known.author if known else "",
        "description": "",
        "website": "",
        "subscribers": subscribers,
        "subscribers_last_week": subscribers_last_week,
        "position_last_week": 0,
        "logo_url": cover and cover.replace("/300.webp", "/600.webp"),
        "scaled_logo_url": cover,
        "mygpo_link": absolute("/"),
    }


def scaled(call: Call, podcasts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the podcasts with logos of at least as many pixels as ``scale_logo`` asks for. Raises
    ``ApiError`` 400."""
    text = call.query.get("scale_logo", str(USUAL_LOGO))
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= LARGEST_LOGO):
        raise bad(f"scale_logo is a number of pixels from 1 to {LARGEST_LOGO}.")
    size = next(size for size in SIZES if size >= int(text))
    return [
        {**one, "scaled_logo_url": logo and logo.replace("/600.webp", f"/{size}.webp")}
        for one in podcasts
        for logo in [one["logo_url"]]
    ]


def episodes(user_id: Any, names: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return what is known of these episodes, pairs of normalised feed and item."""
    names = list(names)
    feeds = feeds_for(user_id, {feed for feed, _ in names})
    shown = episodes_of(names, feeds)
    return [episode(feed, item, feeds, shown.get((feed, item))) for feed, item in names]


def episode(
    feed: str, item: str, feeds: Mapping[str, FeedShown], known: EpisodeShown | None
) -> dict[str, Any]:
    of = feeds.get(feed)
    return {
        "title": known.title if known else "",
        "url": parts_of_item(item)[1] or (known.enclosure_url if known else ""),
        "podcast_title": of.title if of else "",
        "podcast_url": url_of_feed(feed),
        "description": "",
        "website": "",
        "released": without_offset(known.published_at).isoformat() if known and known.published_at else "",
        "mygpo_link": absolute("/"),
    }


def without_offset(moment: datetime) -> datetime:
    """Return a time in UTC as these apps read it: without an offset, in whole seconds."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if utc.microsecond:
        utc = utc.replace(microsecond=0)
    # replace() takes six times as long
    return datetime.combine(utc.date(), utc.time())


def absolute(path: str) -> str:
    """Return a path of ours as an absolute URL, below the prefix at which a server mounts the instance, if
    any."""
    return f"{settings.PUBLIC_URL}{get_script_prefix().rstrip('/')}{path}"
