"""Decides what the player plays after an episode.

First come episodes chosen with "play next", then the rest of the playlist from which the listener started,
then his queue; if he did not start from a list, the next newer episode of the podcast comes last. What he
skipped is left out; so are played episodes, except in the queue, to which they were added on purpose.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple, Self
from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import gettext as _

from eventstore.domain.identifiers import episode_key
from eventstore.domain.playlists import queue_id
from feeds import browsing
from feeds.queries import episodes_of, feeds_for
from projections import lists, queries
from projections.lists import PlaylistItemRow
from web import display, humanize
from web.display import Episode
from web.episode_details import EpisodeDetails

# the maximum number of a playlist's members, and of a podcast's episodes, in which to look for the next one
MOST_MEMBERS: Final = 1_000
MOST_NEWER: Final = 50
MOST_SKIPPED: Final = 100


class NextRequest(NamedTuple):
    """What the player asks for. ``playlist``: the one from which it was started, if any; ``is_single``: it
    was not started from a list. ``wanted``: the key of the episode that it announced as the next one.
    ``skipped``: keys. ``with_queue``: whether the queue is included."""

    playlist: UUID | None
    is_single: bool
    wanted: str
    skipped: frozenset[str]
    with_queue: bool

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """Read the query parameters of a player's request, ignoring invalid values."""
        text, playlist = request.GET.get("from", ""), None
        with suppress(ValueError):
            playlist = UUID(text)
        skipped = frozenset(request.GET.getlist("skip")[:MOST_SKIPPED])
        with_queue = request.GET.get("after") != "podcast"
        return cls(playlist, not text, request.GET.get("next", ""), skipped, with_queue)


class Coming(NamedTuple):
    """The episode that comes next. ``source``: the list that it comes from, in words."""

    key: str
    episode: Episode
    source: str


def coming(user_id: UUID, found: EpisodeDetails, asked: NextRequest) -> Coming | None:
    """Return what comes after an episode; None if nothing does."""
    first = None
    for each in _candidates(user_id, found, asked):
        if each.key == asked.wanted:
            return _named(user_id, each)
        if first is None and each.key not in asked.skipped:
            first = each
        if first is not None and not asked.wanted:
            break
    return first and _named(user_id, first)


def _candidates(user_id: UUID, found: EpisodeDetails, asked: NextRequest) -> Iterator[Coming]:
    queue = queue_id(user_id)
    if asked.playlist != queue:
        yield from _in_playlist(user_id, found, asked.playlist)
    if asked.with_queue or asked.playlist == queue:
        yield from _in_queue(user_id, found)
    if asked.is_single:
        yield from _in_podcast(user_id, found)


def _in_playlist(user_id: UUID, found: EpisodeDetails, playlist: UUID | None) -> Iterator[Coming]:
    """Yield the episodes after it in the playlist that were not played to the end; if it is not in the
    playlist, all that were not."""
    if playlist is None:
        return
    for row in lists.PLAYLISTS.find(user_id, playlist).rows:
        members = lists.PLAYLISTS.members(user_id, playlist, limit=MOST_MEMBERS).rows
        before, after = _around(found, members)
        rest = after if len(before) < len(members) else before
        plays = queries.play_statuses_of(user_id, [_name(each) for each in rest])
        for each in rest:
            if _name(each) not in plays or not plays[_name(each)].played:
                yield _of_row(each, _("Playlist: %(name)s") % {"name": row.name})


def _in_queue(user_id: UUID, found: EpisodeDetails) -> Iterator[Coming]:
    """Yield the queue's episodes after it, and then those before it; if it is not
    in the queue, the whole queue."""
    members = lists.PLAYLISTS.members(user_id, queue_id(user_id), limit=MOST_MEMBERS).rows
    before, after = _around(found, members)
    for each in (*after, *before):
        yield _of_row(each, _("Up next"))


def _around(
    found: EpisodeDetails, members: list[PlaylistItemRow]
) -> tuple[list[PlaylistItemRow], list[PlaylistItemRow]]:
    """Return the members before and after an episode; if it is not among them,
    all of them count as before."""
    own = episode_key(found.episode.feed, found.episode.item)
    keys = [episode_key(*_name(row)) for row in members]
    place = keys.index(own) if own in keys else len(keys)
    return members[:place], members[place + 1 :]


def _in_podcast(user_id: UUID, found: EpisodeDetails) -> Iterator[Coming]:
    """Yield the next newer episodes of its podcast that were not played to the end."""
    row, podcast = found.row, found.podcast
    if row is None:
        return
    newer = browsing.episodes(row.feed_id, MOST_NEWER, after=(row.sort_at, row.id), oldest_first=True)
    plays = queries.play_statuses_of(user_id, [(podcast.feed, each.item) for each in newer if each.item])
    for each in newer:
        episode = display.episode_of(each, podcast, plays.get((podcast.feed, each.item or "")))
        if episode is not None and each.enclosure_url and not episode.played:
            yield Coming(episode_key(episode.feed, episode.item), episode, podcast.title)


def _name(row: PlaylistItemRow) -> tuple[str, str]:
    return row.rss_source_feed, row.rss_source_item


def _of_row(row: PlaylistItemRow, source: str) -> Coming:
    episode = Episode(*_name(row), row.item_title or "", row.feed_title or "")
    return Coming(episode_key(*_name(row)), episode, source)


def _named(user_id: UUID, coming: Coming) -> Coming:
    """Add the title that the feed gives, if no app gave one."""
    episode = coming.episode
    if episode.title:
        return coming
    name = episode.feed, episode.item
    found = episodes_of([name], feeds_for(user_id, [episode.feed])).get(name)
    title = (found.title if found else "") or humanize.episode_name(episode.item)
    return coming._replace(episode=episode._replace(title=title))
