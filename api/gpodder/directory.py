"""The directory, from what is public here and nothing else: popular podcasts, search, tags, one's data."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.utils.text import slugify

from api.gpodder import formats
from api.gpodder.access import Answer, Call, bad, not_found, route
from api.gpodder.addresses import episode_address, feed_address
from api.gpodder.objects import absolute, episode, podcast
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import feed_key_of, feed_of_url, item_of
from feeds import search
from feeds.files import files
from feeds.queries import episodes_of, public_feeds
from feeds.search import ALL, Among, Sight
from projections import public
from projections.connect import run
from projections.public import Popular

TOP: Final = 50
MOST: Final = 100
FOUND: Final = 20
LONGEST_WORDS: Final = 200
CATEGORIES: Final = """SELECT id, categories FROM "system"."feeds" WHERE id = ANY(%s)"""


def top(call: Call, fmt: str, count: str = str(TOP)) -> Answer:
    return formats.write_podcasts(call, _shown(public.trending_podcasts(_number(count))), fmt)


def find(call: Call, fmt: str) -> Answer:
    words = " ".join(call.query.get("q", "").replace("\0", "").split())[:LONGEST_WORDS]
    if not words:
        raise bad("q is missing.")
    page = search.podcasts(words, ALL, Sight({}, []), None, MOST)
    found = public.trending_podcasts(FOUND, None, _keys(row.url for row in page.rows))
    return formats.write_podcasts(call, _shown(found), fmt)


def suggest(call: Call, fmt: str, count: str) -> Answer:
    """What others like that have something in common with what is followed: its categories."""
    number = _number(count)
    call.tell("asked_suggestions")
    followed = {feed for feed, known in state_of(call.user_id).user.subscriptions.items() if known.active}
    ids = [shown.id for shown in public_feeds(followed).values()]
    categories = sorted({name for _, names in run(CATEGORIES, [ids], "system") for name in names})
    among = search.public_feed_keys(Among(categories, None)) if categories else None
    found = public.trending_podcasts(MOST + len(followed), None, among)
    return formats.write_podcasts(
        call, _shown([one for one in found if one.rss_source_feed not in followed][:number]), fmt
    )


def tags(call: Call, count: str) -> list[dict[str, Any]]:
    feeds = public_feeds(one.rss_source_feed for one in public.trending_podcasts(1_000))
    used: Counter[str] = Counter()
    for _, names in run(CATEGORIES, [[shown.id for shown in feeds.values()]], "system"):
        used.update(names)
    return [
        {"title": name, "tag": slugify(name), "usage": usage}
        for name, usage in used.most_common(_number(count))
    ]


def of_tag(call: Call, tag: str, count: str) -> list[dict[str, Any]]:
    names = search.category_names(tag)
    if not names:
        return []
    found = public.trending_podcasts(_number(count), None, search.public_feed_keys(Among(names, None)))
    return _shown(found)


def data_of_podcast(call: Call) -> dict[str, Any]:
    address = feed_address(call.query.get("url", ""))
    if not address.kept:
        raise bad("url is missing, or no address.")
    found = _shown([public.podcast(address.feed)])
    if not found:
        raise not_found("Nothing is known of this podcast.")
    return found[0]


def data_of_episode(call: Call) -> dict[str, Any]:
    podcast, url = feed_address(call.query.get("podcast", "")), episode_address(call.query.get("url", ""))
    if not podcast.kept or not url.kept:
        raise bad("podcast or url is missing, or no address.")
    feeds = public_feeds([podcast.feed]) if _shown([public.podcast(podcast.feed)]) else {}
    item = item_of("", url.kept)
    known = files([(podcast.feed, item)]).get((podcast.feed, item))
    item = item_of(known.guid, url.kept) if known and known.guid else item
    shown = episodes_of([(podcast.feed, item)], feeds).get((podcast.feed, item))
    if shown is None or shown.blocked:
        raise not_found("Nothing is known of this episode.")
    return episode(podcast.feed, item, feeds, shown)


def client_config(call: Call) -> dict[str, Any]:
    return {
        "mygpo": {"baseurl": absolute("/")},
        "mygpo-feedservice": {"baseurl": absolute("/")},
        "update_timeout": 604_800,
    }


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST:
        raise bad(f"At most {MOST}.")
    return number


def _keys(urls: Any) -> list[Any]:
    return [UUID(feed_key_of(feed_of_url(url))) for url in urls]


def _shown(found: Sequence[Popular]) -> list[dict[str, Any]]:
    """Of those of which something is public; what their publishers block is left out."""
    popular = [one for one in found if one.rss_source_feed is not None and any(one.figures)]
    feeds = public_feeds(one.rss_source_feed for one in popular)
    return [
        podcast(one.rss_source_feed, feeds[one.rss_source_feed], one.subscribers)
        for one in popular
        if one.rss_source_feed in feeds
    ]


paths = {
    r"tags/{count}\.json": route(get=tags, is_open=True),
    r"tag/{tag}/{count}\.json": route(get=of_tag, is_open=True),
    r"data/podcast\.json": route(get=data_of_podcast, is_open=True),
    r"data/episode\.json": route(get=data_of_episode, is_open=True),
}
list_paths = {
    r"toplist/{count}\.{fmt}": route(get=top, is_open=True),
    r"toplist\.{fmt}": route(get=top, is_open=True),
    r"search\.{fmt}": route(get=find, is_open=True),
    r"suggestions/{count}\.{fmt}": route(get=suggest),
    r"clientconfig\.json": route(get=client_config, is_open=True),
}
