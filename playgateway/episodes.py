"""From the names in an address to the file: which episode is meant, and whether a token may play it."""

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.utils.encoding import iri_to_uri

from eventstore.domain.identifiers import feed_key_of, guid_key_of, parts_of_item
from feeds.addresses import is_allowed, literal
from feeds.keys import item_hash
from playgateway.links import Named, is_signed
from playgateway.tokens import Bearer
from projections.connect import run

FEED: Final = """
SELECT feed.id, feed.uid, feed.is_secret OR feed.blocked,
       ARRAY(SELECT merged.id FROM "system"."feeds" AS merged WHERE merged.merged_into_id = feed.id)
  FROM "system"."feed_aliases" AS alias
  JOIN "system"."feeds" AS named ON named.id = alias.feed_id
  JOIN "system"."feeds" AS feed ON feed.id = coalesce(named.merged_into_id, named.id)
 WHERE alias.feed_key = %s
"""
# The exact pair first; an enclosure that moved is found by the episode's name in its feed.
EPISODE: Final = """
SELECT episode.id, episode.enclosure_url
  FROM "system"."episodes" AS episode
 WHERE episode.id = coalesce(
       (SELECT min(episode_id) FROM "system"."episode_items" WHERE item_hash = ANY(%s)),
       (SELECT min(id) FROM "system"."episodes" WHERE feed_id = ANY(%s) AND key = %s))
"""
# what a listener ever followed, kept or heard, by any of the feed's names
KNOWS: Final = """
SELECT EXISTS (SELECT FROM "users"."subscriptions" WHERE user_id = %(user)s AND feed_key = ANY(%(keys)s))
    OR EXISTS (SELECT FROM "users"."collection_feeds" WHERE user_id = %(user)s AND feed_key = ANY(%(keys)s))
    OR EXISTS (SELECT FROM "users"."playlist_items"
                WHERE user_id = %(user)s AND rss_source_feed = ANY(%(names)s))
    OR EXISTS (SELECT FROM "users"."saved_episodes"
                WHERE user_id = %(user)s AND rss_source_feed = ANY(%(names)s))
"""
_ENDS_IN_A_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)$", re.IGNORECASE)


class Found(NamedTuple):
    """An episode that may be played, where its file is, and whether our own link led to it."""

    episode_id: int
    location: str
    is_signed: bool


class _Feed(NamedTuple):
    id: int
    uid: UUID
    is_closed: bool
    merged_ids: list[int]


def find(bearer: Bearer, named: Named, s: str) -> Found | None:
    """The episode that is named, if this token may play it: of a feed that is open to all, or known to its
    listener, or one that ``s`` vouches for. A token that is limited to lists plays what these link to.

    One query for the feed, one for the episode. Raises ``psycopg.OperationalError`` (or Django's).
    """
    feed = _feed(named)
    if feed is None:
        return None
    ids = [feed.id, *feed.merged_ids]
    parts = parts_of_item(named.item)
    hashes = [item_hash(feed_id, *parts) for feed_id in ids]
    row = run(EPISODE, [hashes, ids, bytes.fromhex(guid_key_of(named.item))], "system").fetchone()
    if row is None:
        return None
    episode_id, enclosure_url = row
    location = location_of(enclosure_url)
    if location is None:
        return None
    if is_signed(s, bearer.token_id, feed.uid, episode_id):
        return Found(episode_id, location, is_signed=True)
    is_visible = bearer.lists is None and (not feed.is_closed or _knows(bearer.user_id, named.feed))
    return Found(episode_id, location, is_signed=False) if is_visible else None


def location_of(enclosure_url: str) -> str | None:
    """Where a player is sent: the address as its feed had it. None for one that leads to nowhere, back to us,
    or into somebody's own network."""
    if any(character.isspace() or not character.isprintable() for character in enclosure_url):
        return None
    try:
        parts = urlsplit(enclosure_url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host or parts.username is not None:
        return None
    if host in _own_hosts() or host == "localhost" or host.endswith(".localhost"):
        return None
    if _ENDS_IN_A_NUMBER.search(host) and not literal(host):
        return None  # 2130706433 and 0x7f.1 are addresses to browsers
    if literal(host) and not is_allowed(host, tuple(settings.FEED_ALLOW_NETWORKS)):
        return None
    return enclosure_url if enclosure_url.isascii() else iri_to_uri(enclosure_url)


def _feed(named: Named) -> _Feed | None:
    row = run(FEED, [UUID(feed_key_of(named.feed))], "system").fetchone()
    return None if row is None else _Feed._make(row)


def _knows(user_id: UUID, feed: str) -> bool:
    """Whether a listener has, or had, anything to do with a feed under this name."""
    values = {"user": user_id, "keys": [UUID(feed_key_of(feed))], "names": [feed]}
    row = run(KNOWS, values).fetchone()
    return bool(row and row[0])


def _own_hosts() -> set[str]:
    named = {str(urlsplit(settings.PUBLIC_URL).hostname)}
    return named | {settings.PLAY_DOMAIN.partition(":")[0]} if settings.PLAY_DOMAIN else named
