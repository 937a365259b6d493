"""The directory, made only from what is public here: popular podcasts, search, tags, and data of one podcast
or episode."""

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from django.core.cache import cache
from django.utils.text import slugify

from accounts import attempts
from api.gpodder import formats
from api.gpodder.access import Answer, Call, bad, not_found, route
from api.gpodder.addresses import episode_address, feed_address
from api.gpodder.objects import absolute, episode, podcast, scaled
from eventstore.dispatcher import state_of
from eventstore.domain.identifiers import feed_key_of, feed_of_url, item_of
from feeds import search
from feeds.files import files, named
from feeds.queries import episodes_of, public_feeds
from feeds.search import ALL, Among, Sight
from projections import public
from projections.connect import run
from projections.public import Popular

TOP: Final = 50
MOST: Final = 100
FOUND: Final = 20
LONGEST_WORDS: Final = 200
KEPT_S: Final = 300
CATEGORIES: Final = """SELECT id, categories FROM "system"."feeds" WHERE id = ANY(%s)"""

Podcast = dict[str, Any]
T = TypeVar("T", bound=Podcast)


def top(call: Call, fmt: str, count: str = str(TOP)) -> Answer:
    return formats.write_podcasts(call, _top()[: _number(count)], fmt)


def find(call: Call, fmt: str) -> Answer:
    words = " ".join(call.query.get("q", "").replace("\0", "").split())[:LONGEST_WORDS]
    if not words:
        raise bad("q is missing.")
    return formats.write_podcasts(call, _kept(f"search {words}", lambda: _search(words)), fmt)


def _search(words: str) -> list[Podcast]:
    page = search.podcasts(words, ALL, Sight({}, []), None, MOST)
    return _shown(public.trending_podcasts(FOUND, None, _keys(row.url for row in page.rows)))


def suggest(call: Call, fmt: str, count: str) -> Answer:
    """Suggest podcasts popular with others that share a category with what the caller follows."""
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
    return _kept("tags", _tags)[: _number(count)]


def _tags() -> list[dict[str, Any]]:
    feeds = public_feeds(one.rss_source_feed for one in public.trending_podcasts(1_000))
    used: Counter[str] = Counter()
    for _, names in run(CATEGORIES, [[shown.id for shown in feeds.values()]], "system"):
        used.update(names)
    return [{"title": name, "tag": slugify(name), "usage": usage} for name, usage in used.most_common(MOST)]


def of_tag(call: Call, tag: str, count: str) -> list[dict[str, Any]]:
    return scaled(call, _kept(f"tag {tag}", lambda: _of_tag(tag))[: _number(count)])


def _of_tag(tag: str) -> list[Podcast]:
    names = search.category_names(tag)
    if not names:
        return []
    return _shown(public.trending_podcasts(MOST, None, search.public_feed_keys(Among(names, None))))


def data_of_podcast(call: Call) -> dict[str, Any]:
    address = feed_address(call.query.get("url", ""))
    if not address.kept:
        raise bad("url is missing, or no address.")
    found = _shown([public.podcast(address.feed)])
    if not found:
        raise not_found("Nothing is known of this podcast.")
    return scaled(call, found)[0]


def data_of_episode(call: Call) -> dict[str, Any]:
    podcast, url = feed_address(call.query.get("podcast", "")), episode_address(call.query.get("url", ""))
    if not podcast.kept or not url.kept:
        raise bad("podcast or url is missing, or no address.")
    feeds = public_feeds([podcast.feed]) if _listed([public.podcast(podcast.feed)]) else {}
    item = item_of("", url.kept)
    item = named(item, files([(podcast.feed, item)]).get((podcast.feed, item)))
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


def _top() -> list[Podcast]:
    """Return the most popular podcasts, each with its rank by the figures of a week ago."""

    def read() -> list[Podcast]:
        found = public.trending_podcasts(MOST)
        before = sorted((one for one in found if one.score_previous), key=lambda one: -one.score_previous)
        urls = [one["url"] for one in _listed(before)]
        places = {url: place for place, url in enumerate(urls, 1)}
        return [{**one, "position_last_week": places.get(one["url"], 0)} for one in _listed(found)]

    return _kept("top", read)


def _shown(found: Sequence[Popular]) -> list[Podcast]:
    """Return any podcasts in the same form, with the rank of those that are among the most popular."""
    places = {one["url"]: one["position_last_week"] for one in _top()}
    return [{**one, "position_last_week": places.get(one["url"], 0)} for one in _listed(found)]


def _listed(found: Sequence[Popular]) -> list[Podcast]:
    """Return those podcasts of which something is public, without those that their publishers block."""
    popular = [(one.rss_source_feed, one) for one in found if one.rss_source_feed and any(one.figures)]
    feeds = public_feeds(feed for feed, _ in popular)
    return [
        podcast(feed, feeds[feed], one.subscribers, one.subscribers_previous)
        for feed, one in popular
        if feed in feeds
    ]


def _kept(name: str, read: Callable[[], list[T]]) -> list[T]:
    """Return what was read in the last five minutes, unless something was withdrawn from the public since
    then."""
    digest = sha256(f"{public.sight()} {name}".encode()).hexdigest()
    key = f"balados:directory:{digest}"
    kept: bytes | None = attempts.unless_away(lambda: cache.get(key))
    if kept is not None:
        found: list[T] = msgspec.json.decode(kept)
        return found
    found = read()
    attempts.unless_away(lambda: cache.set(key, msgspec.json.encode(found), KEPT_S))
    return found


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
