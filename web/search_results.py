"""What a listener finds among the podcasts, episodes, playlists and people of this server: for the search
page, and for the page that adds podcasts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from accounts import profiles
from accounts.models import User
from eventstore.domain.plays import PlayEntry
from feeds import browsing, search
from feeds.browsing import Summary
from feeds.covers import path_of
from feeds.details import item_in
from feeds.search import EpisodeFound, PodcastFound, Sight
from projections import public_lists, queries
from projections.public_lists import PublicPlaylist
from projections.queries import Behind, Page
from web import display
from web.display import Episode, Podcast
from web.people import Person, shown_as


class PodcastLine(NamedTuple):
    podcast: Podcast
    is_followed: bool


class Results(NamedTuple):
    """A page of results. ``following``: the cursor of the next page, or ""."""

    lines: list[Any]
    following: str


def sight_of(user: User) -> Sight:
    """Return which feeds the listener may find: of secret and blocked feeds only those that he follows."""
    followed, blocked, _ = queries.sight_of(user.pk)
    return search.sight(followed, blocked)


def podcasts(seen: Sight, words: str, after: str, limit: int) -> Results:
    """Return podcasts that match these words, the best match first. Raises
    ``InvalidCursor``, as all functions here do."""
    page = search.podcasts(words, search.ALL, seen, after or None, limit)
    return _podcasts(page, seen, browsing.summaries(_named(seen, page.rows).values()))


def episodes(user_id: UUID, seen: Sight, words: str, after: str, limit: int) -> Results:
    """Return episodes whose titles match these words, the newest first, with how far
    the listener has heard them."""
    page = search.episodes(words, search.ALL, seen, after or None, limit)
    return _episodes(page, user_id, seen, browsing.summaries(_names_of(seen, page.rows).values()))


def podcasts_and_episodes(user_id: UUID, seen: Sight, words: str, limit: int) -> tuple[Results, Results]:
    """Return the first page of both; the data of their podcasts is read only once."""
    found = search.podcasts(words, search.ALL, seen, None, limit)
    heard = search.episodes(words, search.ALL, seen, None, limit)
    names = _named(seen, found.rows) | _names_of(seen, heard.rows)
    known = browsing.summaries(names.values())
    return _podcasts(found, seen, known), _episodes(heard, user_id, seen, known)


class PlaylistLine(NamedTuple):
    name: str
    owner: Person
    path: str


def playlists(words: str, after: str, limit: int) -> Results:
    """Return public playlists of active accounts; none while the read model may not yet include the
    latest changes to visibility."""
    page = _public_playlists(words, after, limit)
    return _playlists(page, profiles.people(row.user_id for row in page.rows))


def people(words: str, after: str, limit: int) -> Results:
    """Return listeners with a public profile."""
    found, _ = profiles.find(words, after, limit + 1)
    return _people(found, limit)


def playlists_and_people(words: str, limit: int) -> tuple[Results, Results]:
    """Return the first page of both; the accounts are looked up only once."""
    page = _public_playlists(words, "", limit)
    found, owners = profiles.find(words, "", limit + 1, {row.user_id for row in page.rows})
    return _playlists(page, owners), _people(found, limit)


def _public_playlists(words: str, after: str, limit: int) -> Page[PublicPlaylist]:
    try:
        return public_lists.playlists(words, after or None, limit)
    except Behind:
        return Page([], None, 0)


def _playlists(page: Page[PublicPlaylist], known: Mapping[UUID, profiles.Person]) -> Results:
    owners = {user_id: shown_as(person) for user_id, person in known.items()}
    lines = [
        PlaylistLine(row.name, owner, f"{owner.path}/playlists/{row.id}")
        for row in page.rows
        if (owner := owners.get(row.user_id))
    ]
    return Results(lines, page.next or "")


def _people(found: Sequence[profiles.Person], limit: int) -> Results:
    shown_people = [shown_as(person) for person in found]
    is_cut = len(found) > limit
    return Results(shown_people[:limit], found[limit - 1].username if is_cut else "")


def _named(seen: Sight, rows: Sequence[PodcastFound]) -> dict[int, str]:
    return {row.id: seen.name(row.id, row.url) for row in rows}


def _names_of(seen: Sight, rows: Sequence[EpisodeFound]) -> dict[int, str]:
    return {row.feed_id: seen.name(row.feed_id, row.url) for row in rows}


def _podcasts(page: Page[PodcastFound], seen: Sight, known: Mapping[str, Summary]) -> Results:
    lines = [
        PodcastLine(display.podcast_of(name, known.get(name)), feed_id in seen.own)
        for feed_id, name in _named(seen, page.rows).items()
    ]
    return Results(lines, page.next or "")


def _episodes(page: Page[EpisodeFound], user_id: UUID, seen: Sight, known: Mapping[str, Summary]) -> Results:
    names = _names_of(seen, page.rows)
    named = [(row, names[row.feed_id], item_in(row.guid, row.enclosure_url)) for row in page.rows]
    plays = queries.play_statuses_of(user_id, [(name, item) for _, name, item in named if item is not None])
    lines = [
        _episode(row, item, display.podcast_of(name, known.get(name)), plays.get((name, item)))
        for row, name, item in named
        if item is not None
    ]
    return Results(lines, page.next or "")


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
