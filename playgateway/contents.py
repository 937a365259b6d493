"""What a listener's own feeds contain: which shows and episodes, and in which order. Reads database rows
only and never fetches anything."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from eventstore.domain.playlists import queue_id
from feeds import queries as known
from feeds.models import Episode
from feeds.queries import EpisodeName, FeedShown
from projections import lists, queries
from projections.connect import run

# episodes in a feed, which is as many as players look at, and in a list that the listener ordered
NEWEST, MOST_OF_A_PLAYLIST = 100, 500
# shows per listener; only a faulty app would exceed this
MOST_SHOWS: Final = 5_000
# Takes the newest episodes of each feed by index, then the newest of these, so that
# it never sorts all episodes.
NEWEST_OF: Final = """
SELECT newest.id FROM unnest(%s::bigint[]) AS wanted (feed_id)
 CROSS JOIN LATERAL (
       SELECT id, sort_at FROM "system"."episodes"
        WHERE feed_id = wanted.feed_id AND gone_at IS NULL AND enclosure_url <> ''
        ORDER BY sort_at DESC LIMIT %s) AS newest
 ORDER BY newest.sort_at DESC, newest.id DESC LIMIT %s
"""


class Entry(NamedTuple):
    """An episode of a list, its show, and the feed name under which the listener has that show."""

    episode: Episode
    show: FeedShown
    feed: str


class Contents(NamedTuple):
    """The contents of a list. ``title`` is "" for a list without a name of its own; ``unread`` holds the
    names of shows that are not known yet; ``is_ordered`` says that the listener chose the order,
    otherwise the newest come first."""

    title: str
    description: str
    entries: list[Entry]
    unread: list[str]
    is_ordered: bool = False


def subscriptions(user_id: UUID) -> Contents:
    """Return the newest episodes of all podcasts that the listener follows."""
    return _newest("", "", _followed(user_id))


def collection(user_id: UUID, collection_id: UUID) -> Contents | None:
    """Return the newest episodes of the followed shows of a collection; None if
    there is no such collection."""
    rows = lists.COLLECTIONS.find(user_id, collection_id).rows
    if not rows:
        return None
    followed = set(_followed(user_id))
    page = lists.COLLECTIONS.members(user_id, collection_id, limit=MOST_SHOWS)
    names = [row.rss_source_feed for row in page.rows if row.rss_source_feed in followed]
    return _newest(rows[0].name, rows[0].description or "", names)


def playlist(user_id: UUID, playlist_id: UUID) -> Contents | None:
    """Return the episodes of a playlist in its own order; None if there is no such playlist."""
    rows = lists.PLAYLISTS.find(user_id, playlist_id).rows
    if not rows:
        return None
    page = lists.PLAYLISTS.members(user_id, playlist_id, limit=MOST_OF_A_PLAYLIST)
    names = [(row.rss_source_feed, row.rss_source_item) for row in page.rows]
    return _named(rows[0].name, rows[0].description or "", names, is_ordered=True)


def queue(user_id: UUID) -> Contents:
    """Return the listener's queue in its order; empty if nothing was ever added to it."""
    return playlist(user_id, queue_id(user_id)) or Contents("", "", [], [], is_ordered=True)


def saved(user_id: UUID) -> Contents:
    """Return the episodes that the listener saved most recently."""
    page = queries.SAVED_EPISODES.page([user_id], limit=NEWEST, descending=True)
    return _named("", "", [(row.rss_source_feed, row.rss_source_item) for row in page.rows])


def _followed(user_id: UUID) -> list[str]:
    return [row.rss_source_feed for row in queries.subscriptions(user_id, limit=MOST_SHOWS).rows]


def _newest(title: str, description: str, names: Sequence[str]) -> Contents:
    shows = known.feeds_of(names)
    # two names of the same show count as one show
    by_id = {show.id: (show, name) for name, show in reversed(shows.items())}
    ids = [episode_id for (episode_id,) in run(NEWEST_OF, [list(by_id), NEWEST, NEWEST], "system")]
    entries = [Entry(episode, *by_id[episode.feed_id]) for episode in _episodes(ids)]
    return Contents(title, description, entries, _unread(names, shows))


def _named(
    title: str, description: str, names: Sequence[EpisodeName], *, is_ordered: bool = False
) -> Contents:
    """Return the named episodes, each only once even if several of the names refer to it."""
    shows = known.feeds_of(feed for feed, _ in names)
    found = known.episodes_of(names, shows)
    feeds = {found[name].id: name[0] for name in reversed(names) if name in found}
    ids = dict.fromkeys(found[name].id for name in names if name in found)
    entries = [
        Entry(episode, shows[feeds[episode.pk]], feeds[episode.pk])
        for episode in _episodes(list(ids))
        if episode.enclosure_url
    ]
    return Contents(title, description, entries, _unread([feed for feed, _ in names], shows), is_ordered)


def _episodes(ids: Sequence[int]) -> list[Episode]:
    """Return the rows of these episodes, in this order."""
    rows = Episode.objects.in_bulk(ids)
    return [rows[episode_id] for episode_id in ids if episode_id in rows]


def _unread(names: Iterable[str], shows: dict[str, FeedShown]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name not in shows))


def changed_at(contents: Contents, otherwise: datetime) -> datetime:
    """Return when the description of any of the episodes last changed; ``otherwise`` if there are none."""
    return max((entry.episode.changed_at for entry in contents.entries), default=otherwise)
