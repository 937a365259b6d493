"""What a listener finds in what this server knows: for the page of search, and for that of adding."""

from typing import Any, NamedTuple
from uuid import UUID

from accounts import profiles
from accounts.models import User
from eventstore.domain.plays import PlayEntry
from feeds import browsing, search
from feeds.covers import path_of
from feeds.details import item_in
from feeds.search import EpisodeFound, Sight
from projections import public_lists, queries
from projections.queries import Behind
from web import shown
from web.people import Person, shown_as
from web.shown import Episode, Podcast


class PodcastLine(NamedTuple):
    podcast: Podcast
    is_followed: bool


class Found(NamedTuple):
    """A page of what was found. ``following``: the cursor of the next, or ""."""

    lines: list[Any]
    following: str


def sight_of(user: User) -> Sight:
    """Which feeds the listener may find: of secret and blocked ones those that he follows."""
    followed, blocked, _ = queries.sight_of(user.pk)
    return search.sight(followed, blocked)


def podcasts(seen: Sight, words: str, after: str, limit: int) -> Found:
    """Podcasts that have these words, the best first. Raises ``InvalidCursor``, as all here."""
    page = search.podcasts(words, search.ALL, seen, after or None, limit)
    names = {row.id: seen.name(row.id, row.url) for row in page.rows}
    known = browsing.summaries(names.values())
    lines = [
        PodcastLine(shown.podcast_of(name, known.get(name)), feed_id in seen.own)
        for feed_id, name in names.items()
    ]
    return Found(lines, page.next or "")


def episodes(user_id: UUID, seen: Sight, words: str, after: str, limit: int) -> Found:
    """Episodes whose titles have these words, the newest first, with how far the listener has heard them."""
    page = search.episodes(words, search.ALL, seen, after or None, limit)
    names = {row.feed_id: seen.name(row.feed_id, row.url) for row in page.rows}
    known = browsing.summaries(names.values())
    shows = {feed_id: shown.podcast_of(name, known.get(name)) for feed_id, name in names.items()}
    items = {row.id: item_in(row.guid, row.enclosure_url) for row in page.rows}
    heard = [(names[row.feed_id], item) for row in page.rows if (item := items[row.id]) is not None]
    plays = queries.play_statuses_of(user_id, heard)
    found = (
        _episode(row, item, shows[row.feed_id], plays.get((names[row.feed_id], item)))
        for row in page.rows
        if (item := items[row.id]) is not None
    )
    return Found(list(found), page.next or "")


class PlaylistLine(NamedTuple):
    name: str
    owner: Person
    path: str


def playlists(words: str, after: str, limit: int) -> Found:
    """Public playlists of accounts that are in use; none while it is not known what was hidden lately."""
    try:
        page = public_lists.playlists(words, after or None, limit)
    except Behind:
        return Found([], "")
    known = profiles.people(row.user_id for row in page.rows)
    owners = {user_id: shown_as(person) for user_id, person in known.items()}
    lines = [
        PlaylistLine(row.name, owner, f"{owner.path}/playlists/{row.id}")
        for row in page.rows
        if (owner := owners.get(row.user_id))
    ]
    return Found(lines, page.next or "")


def people(words: str, after: str, limit: int) -> Found:
    """Listeners with a public profile."""
    found = [shown_as(person) for person in profiles.find(words, after, limit + 1)]
    return Found(found[:limit], found[limit - 1].username if len(found) > limit else "")


def _episode(row: EpisodeFound, item: str, podcast: Podcast, play: PlayEntry | None) -> Episode:
    return Episode(
        podcast.feed,
        item,
        row.title or podcast.title,
        podcast.title,
        path_of(row.image_url, title=row.title, key=str(row.feed_id)) or podcast.cover,
        row.published_at,
        row.duration,
        play.position if play else 0,
        bool(play and play.played),
    )
