"""What is in a listener's own feeds: which shows and episodes, in which order. Rows only, never a fetch."""

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

# as many as players look at, and those of a list that its listener has put in order himself
NEWEST, MOST_OF_A_PLAYLIST = 100, 500
# shows of one listener; more would be a fault of an app
MOST_SHOWS: Final = 5_000
# The newest of each feed, by its index, and of these the newest: never a sort of everything.
NEWEST_OF: Final = """
SELECT newest.id FROM unnest(%s::bigint[]) AS wanted (feed_id)
 CROSS JOIN LATERAL (
       SELECT id, sort_at FROM "system"."episodes"
        WHERE feed_id = wanted.feed_id AND gone_at IS NULL AND enclosure_url <> ''
        ORDER BY sort_at DESC LIMIT %s) AS newest
 ORDER BY newest.sort_at DESC, newest.id DESC LIMIT %s
"""


class Entry(NamedTuple):
    """An episode of a list, its show, and the name by which the listener has the show."""

    episode: Episode
    show: FeedShown
    feed: str


class Contents(NamedTuple):
    """``title``: of the list, "" for one that has no name of its own. ``unread``: names of shows that are not
    known yet. ``is_ordered``: by the listener, rather than the newest first."""

    title: str
    description: str
    entries: list[Entry]
    unread: list[str]
    is_ordered: bool = False


def subscriptions(user_id: UUID) -> Contents:
    """The newest episodes of all that a listener follows."""
    return _newest("", "", _followed(user_id))


def collection(user_id: UUID, collection_id: UUID) -> Contents | None:
    """The newest episodes of a collection's shows, as far as they are followed; None where there is none."""
    rows = lists.collection(user_id, collection_id).rows
    if not rows:
        return None
    followed = set(_followed(user_id))
    page = lists.collection_feeds(user_id, collection_id, limit=MOST_SHOWS)
    names = [row.rss_source_feed for row in page.rows if row.rss_source_feed in followed]
    return _newest(rows[0].name, rows[0].description or "", names)


def playlist(user_id: UUID, playlist_id: UUID) -> Contents | None:
    """The episodes of a playlist in its own order; None where there is none."""
    rows = lists.playlist(user_id, playlist_id).rows
    if not rows:
        return None
    page = lists.playlist_items(user_id, playlist_id, limit=MOST_OF_A_PLAYLIST)
    names = [(row.rss_source_feed, row.rss_source_item) for row in page.rows]
    return _named(rows[0].name, rows[0].description or "", names, is_ordered=True)


def queue(user_id: UUID) -> Contents:
    """What a listener hears next, in its order; empty where nothing was put into it yet."""
    return playlist(user_id, queue_id(user_id)) or Contents("", "", [], [], is_ordered=True)


def saved(user_id: UUID) -> Contents:
    """The episodes that a listener saved last."""
    page = queries.SAVED_EPISODES.page([user_id], limit=NEWEST, descending=True)
    return _named("", "", [(row.rss_source_feed, row.rss_source_item) for row in page.rows])


def _followed(user_id: UUID) -> list[str]:
    return [row.rss_source_feed for row in queries.subscriptions(user_id, limit=MOST_SHOWS).rows]


def _newest(title: str, description: str, names: Sequence[str]) -> Contents:
    shows = known.feeds_of(names)
    # two names of one show are one show
    by_id = {show.id: (show, name) for name, show in reversed(shows.items())}
    ids = [episode_id for (episode_id,) in run(NEWEST_OF, [list(by_id), NEWEST, NEWEST], "system")]
    entries = [Entry(episode, *by_id[episode.feed_id]) for episode in _episodes(ids)]
    return Contents(title, description, entries, _unread(names, shows))


def _named(
    title: str, description: str, names: Sequence[EpisodeName], *, is_ordered: bool = False
) -> Contents:
    """These episodes, each once, however many names of it are among them."""
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
    """The rows of these, in this order."""
    rows = Episode.objects.in_bulk(ids)
    return [rows[episode_id] for episode_id in ids if episode_id in rows]


def _unread(names: Iterable[str], shows: dict[str, FeedShown]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name not in shows))


def changed_at(contents: Contents, otherwise: datetime) -> datetime:
    """When an episode of it was last described anew."""
    return max((entry.episode.changed_at for entry in contents.entries), default=otherwise)
