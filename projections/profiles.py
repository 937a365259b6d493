"""What everybody may see of one listener, and who may be seen following a podcast.

As with all public reads, no answer is older than the newest change of anybody's privacy (``public.fenced``).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.domain.identifiers import feed_key_of
from eventstore.domain.secrets import is_secret_feed
from projections.connect import run
from projections.exposure import FOLLOW_COLUMNS, default_level
from projections.lists import EXISTS
from projections.projectors.public_events import NO_KEY
from projections.projectors.showing import JUDGED
from projections.public import PROJECTOR, PublicRow, fenced
from projections.queries import Page, Query, Read, key, moment

MOST_LISTS = 100
FOLLOWS = """(
    SELECT {columns} FROM "users"."subscriptions" WHERE {which} = %s AND subscribed_at IS NOT NULL) a"""
NAMED = """
(WITH {judged} SELECT * FROM wanted WHERE stands AND in_force = 'public') AS named WHERE true
"""
LISTS = """
SELECT 'playlists' AS kind, playlist_id AS id, name, description FROM "users"."playlists"
 WHERE user_id = %(user)s AND is_public AND {exists}
UNION ALL
SELECT 'collections', collection_id, name, description FROM "users"."collections"
 WHERE user_id = %(user)s AND is_public AND {exists}
 ORDER BY kind DESC, name, id LIMIT %(limit)s
""".replace("{exists}", EXISTS)


class PublicFollow(NamedTuple):
    """Somebody follows a podcast, and shows it to everybody."""

    user_id: UUID
    rss_source_feed: str
    happened_at: datetime


class PublicList(NamedTuple):
    """``kind``: ``playlists`` or ``collections``. The number of members is not for everybody."""

    kind: str
    id: UUID
    name: str
    description: str | None


ACTS = Query(
    PROJECTOR, PublicRow, '"public"."public_events" WHERE user_id = %s', {"happened_at": moment, "id": key}
)


def acts_of(user_id: UUID, limit: int, after: str | None = None, *, read: Read = fenced) -> Page[PublicRow]:
    """Return a listener's recent acts that show the listener's name, newest first.

    ``read``: from ``public.fence``, for several reads. Raises ``Behind`` and ``InvalidCursor``, as all reads
    here with ``after`` do.
    """
    return ACTS.page([user_id], {}, after, limit, descending=True, read=read)


def podcasts_of(
    user_id: UUID, limit: int, after: str | None = None, *, read: Read = fenced
) -> Page[PublicFollow]:
    """Return the podcasts that a listener publicly follows, last followed first.

    Podcasts whose addresses are secret are left out, so a page may have fewer than ``limit``.
    """
    query, values = _follows("user_id", {"happened_at": moment, "feed_key": key}, user_id)
    page = query.page(values, {}, after, limit, descending=True, read=read)
    return page._replace(rows=[row for row in page.rows if not is_secret_feed(row.rss_source_feed)])


def followers_of(feed: str, limit: int) -> list[PublicFollow]:
    """Return who publicly follows a podcast, latest first; nobody if its address is secret."""
    if is_secret_feed(feed):
        return []
    query, values = _follows("feed_key", {"happened_at": moment, "user_id": key}, UUID(feed_key_of(feed)))
    return query.page(values, {}, None, limit, descending=True, read=fenced).rows


def lists_of(user_id: UUID) -> list[PublicList]:
    """Return the lists that a listener has made public, playlists first, by name."""
    found = run(LISTS, {"user": user_id, "limit": MOST_LISTS})
    return [PublicList._make(row) for row in found]


def _follows(
    which: str, keys: dict[str, Callable[[str], Any]], of: UUID
) -> tuple[Query[PublicFollow], list[Any]]:
    """Return a query for the public follows of a listener or a feed, and the values for its source."""
    judged = JUDGED.format(acts=FOLLOWS.format(columns=FOLLOW_COLUMNS, which=which))
    judged = judged.format(levels='"users"."activity_levels"', blocked='"users"."blocked_feeds"')
    # paged reads use positional parameters, not named ones
    judged = judged.replace("%(default)s", "%s").replace("%(no_key)s", f"'{NO_KEY}'::uuid")
    query = Query(PROJECTOR, PublicFollow, NAMED.format(judged=judged), keys)
    return query, [default_level(), of]
