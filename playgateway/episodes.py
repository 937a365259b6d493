"""Find the file that an address names: which episode is meant, and whether a play token may play it."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.utils.encoding import iri_to_uri

from accounts.models import PlayToken
from eventstore.database import discard_when_broken, raw_connection
from eventstore.domain.identifiers import feed_key_of, guid_key_of, parts_of_item
from eventstore.prepared import Prepared
from feeds.addresses import Network, is_allowed, literal
from feeds.keys import item_hash, normal_enclosure
from playgateway import tokens
from playgateway.links import Named, is_signed
from playgateway.tokens import Bearer
from projections.connect import run

# Finds the owner of the token, the feed, and the feed's episode of that name, in one round trip and usually
# the only one. Nothing of it is cached: a revoked token fails in the next request.
_FIND: Final = """
SELECT token.id, token.user_id, token.name, array_to_string(token.lists, ' '), feed.id, feed.uid,
       feed.is_secret OR feed.blocked, episode.id, episode.enclosure_url
  FROM "system"."play_tokens" AS token
  JOIN "system"."users" AS owner ON owner.id = token.user_id
  LEFT JOIN "system"."feed_aliases" AS alias ON alias.feed_key = %(feed_key)s::uuid
  LEFT JOIN "system"."feeds" AS named ON named.id = alias.feed_id
  LEFT JOIN "system"."feeds" AS feed ON feed.id = coalesce(named.merged_into_id, named.id)
  LEFT JOIN "system"."episodes" AS episode ON episode.feed_id = feed.id AND episode.key = %(key)s::bytea
 WHERE token.token_hash = %(token_hash)s::text AND {valid}
"""
FIND: Final = Prepared(
    "find_played_episode", _FIND.format(valid=tokens.VALID.format(now="%(now)s::timestamptz"))
)
MERGED: Final = 'SELECT id FROM "system"."feeds" WHERE merged_into_id = %s'
# First by the exact pair of GUID and enclosure, for older pairs and for several episodes with one GUID; then
# by name, also in feeds that were merged.
OTHERWISE: Final = """
SELECT episode.id, episode.enclosure_url
  FROM "system"."episodes" AS episode
 WHERE episode.id = coalesce(
       (SELECT min(episode_id) FROM "system"."episode_items" WHERE item_hash = ANY(%s)),
       (SELECT min(id) FROM "system"."episodes" WHERE feed_id = ANY(%s) AND key = %s))
"""
# Whether the feed is open to everybody and not blocked by the operator, or else whether the listener ever
# followed, kept or heard it under any of the feed's names.
MAY_PLAY: Final = """
SELECT (%(is_open)s AND NOT EXISTS (SELECT FROM "users"."blocked_feeds"
                WHERE feed_key = ANY(%(keys)s) AND operator_since IS NOT NULL))
    OR EXISTS (SELECT FROM "users"."subscriptions" WHERE user_id = %(user)s AND feed_key = ANY(%(keys)s))
    OR EXISTS (SELECT FROM "users"."collection_feeds" WHERE user_id = %(user)s AND feed_key = ANY(%(keys)s))
    OR EXISTS (SELECT FROM "users"."playlist_items"
                WHERE user_id = %(user)s AND rss_source_feed = ANY(%(names)s))
    OR EXISTS (SELECT FROM "users"."saved_episodes"
                WHERE user_id = %(user)s AND rss_source_feed = ANY(%(names)s))
"""
_ENDS_IN_A_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)$", re.IGNORECASE)


class PlayableEpisode(NamedTuple):
    """An episode that may be played and its feed, the location of its file, and
    whether a link that we signed led to it."""

    episode_id: int
    feed_id: int
    feed_uid: UUID
    location: str
    is_signed: bool


class _Row(NamedTuple):
    """What ``FIND`` returns for a valid token. Without a ``feed_id`` the feed is not known; without an
    ``episode_id`` it has no such episode."""

    bearer: Bearer
    feed_id: int | None
    feed_uid: str
    is_closed: bool
    episode_id: int | None
    enclosure_url: str

    @classmethod
    def of(cls, values: list[bytes | None]) -> "_Row":
        token_id, user_id, name, lists, feed, uid, is_closed, episode, url = (
            "" if value is None else value.decode() for value in values
        )
        # a limited token has at least one list
        bearer = Bearer(int(token_id), UUID(user_id), name, lists.split() or None)
        ids = int(feed) if feed else None, int(episode) if episode else None
        return cls(bearer, ids[0], uid, is_closed == "t", ids[1], url)


def find(token: str, named: Named, s: str, now: datetime) -> tuple[Bearer | None, PlayableEpisode | None]:
    """Return the bearer of the token if it is valid, and the named episode if this token may play it.

    A token may play episodes of a feed that is open to everybody, of a feed known to its listener, and those
    that the signature ``s`` vouches for. A token limited to lists plays only what these lists link to. Raises
    ``psycopg.OperationalError`` (or Django's) when the store is unavailable.
    """
    if not tokens.is_well_formed(token):
        return None, None
    key = guid_key_of(named.item)
    values = {
        "feed_key": feed_key_of(named.feed),
        "key": f"\\x{key}",
        "token_hash": PlayToken.digest(token),
        "now": now.isoformat(),
    }
    with discard_when_broken("system"):
        rows = FIND.rows(raw_connection("system"), {name: text.encode() for name, text in values.items()})
    if not rows:
        return None, None
    row = _Row.of(rows[0])
    tokens.note_use(row.bearer.token_id, now)
    return row.bearer, None if row.feed_id is None else _open(row, named, s, key)


def _open(row: _Row, named: Named, s: str, key: str) -> PlayableEpisode | None:
    assert row.feed_id is not None
    feed_uid, episode = UUID(row.feed_uid), _episode(row, named, bytes.fromhex(key))
    location = None if episode is None else location_of(episode[1])
    if episode is None or location is None:
        return None
    found = PlayableEpisode(episode[0], row.feed_id, feed_uid, location, is_signed=False)
    if is_signed(s, row.bearer.token_id, feed_uid, episode[0]):
        return found._replace(is_signed=True)
    return found if row.bearer.lists is None and _may_play(row, named.feed) else None


def _episode(row: _Row, named: Named, key: bytes) -> tuple[int, str] | None:
    """Return the id of the episode and the address of its file; an exact match of the pair takes precedence
    over a match of the GUID alone."""
    guid, enclosure_url = parts_of_item(named.item)
    if row.episode_id is not None and normal_enclosure(row.enclosure_url) == enclosure_url:
        return row.episode_id, row.enclosure_url
    assert row.feed_id is not None
    ids = [row.feed_id, *(merged for (merged,) in run(MERGED, [row.feed_id], "system"))]
    hashes = [item_hash(feed_id, guid, enclosure_url) for feed_id in ids]
    found: tuple[int, str] | None = run(OTHERWISE, [hashes, ids, key], "system").fetchone()
    return found


def location_of(enclosure_url: str) -> str | None:
    """Return the address to which a player is redirected, as the feed has it, in ASCII and without control
    characters. None for one that leads nowhere, back to this server, or into a private network."""
    own_hosts = _own_hosts(settings.PUBLIC_URL, settings.PLAY_DOMAIN)
    return _location_of(enclosure_url, own_hosts, tuple(settings.FEED_ALLOW_NETWORKS))


# a player that seeks asks for one file again and again
@lru_cache(maxsize=4_096)
def _location_of(url: str, own_hosts: frozenset[str], allowed: tuple[Network, ...]) -> str | None:
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host or parts.username is not None:
        return None
    if host in own_hosts or host == "localhost" or host.endswith(".localhost"):
        return None
    if _ENDS_IN_A_NUMBER.search(host) and not literal(host):
        return None  # browsers read 2130706433 and 0x7f.1 as IP addresses
    if literal(host) and not is_allowed(host, allowed):
        return None
    return url if url.isascii() else iri_to_uri(url)


@lru_cache(maxsize=16)
def _own_hosts(public_url: str, play_domain: str) -> frozenset[str]:
    named = {str(urlsplit(public_url).hostname), play_domain.partition(":")[0]}
    return frozenset(named - {""})


def _may_play(row: _Row, feed: str) -> bool:
    """Whether the feed of this name is open to everybody, or its listener follows, keeps or has heard it."""
    keys = {"keys": [UUID(feed_key_of(feed))], "names": [feed]}
    values = {"user": row.bearer.user_id, "is_open": not row.is_closed, **keys}
    found = run(MAY_PLAY, values).fetchone()
    return bool(found and found[0])
