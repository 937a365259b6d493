"""An episode with everything that its page and the player show about it."""

from typing import NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest

from eventstore.domain.identifiers import episode_key, parts_of_item
from eventstore.domain.plays import PlayEntry
from feeds import browsing
from feeds.browsing import EpisodeRow, Summary
from feeds.queries import FeedShown
from projections import lists, queries
from web import display, humanize, visible_feeds
from web.addresses import is_web, number_in
from web.display import Episode, Podcast

LONGEST_POSITION = 2**31 - 1


class EpisodeDetails(NamedTuple):
    """An episode and its podcast. ``row``: what its feed says about it, None if that is not known; ``audio``:
    the address of its file, or ""."""

    episode: Episode
    podcast: Podcast
    row: EpisodeRow | None
    audio: str

    @property
    def resume(self) -> int:
        """Return where the listener continues, in seconds: at the start if the
        episode was played to the end."""
        return 0 if self.episode.played else self.episode.position


def find(user_id: UUID, feed: str, item: str) -> EpisodeDetails:
    """Return what is known about an episode. Raises ``Http404`` if neither its feed nor a play or playlist
    of the listener mentions it."""
    play = queries.play_statuses_of(user_id, [(feed, item)]).get((feed, item))
    known = visible_feeds.known_feeds(user_id, feed)
    row = browsing.episode_of((feed, item), known)
    if play is None and row is None and not lists.PLAYLISTS.containing(user_id, episode_key(feed, item)):
        raise Http404
    return _found(feed, item, play, known.get(feed), row)


def seconds_in(request: HttpRequest, name: str) -> int | None:
    """Return a position given in the address; None if there is none. Raises ``BadRequest`` if the
    value is not a valid position."""
    text = request.GET.get(name)
    if text is None:
        return None
    seconds = number_in(text, LONGEST_POSITION)
    if seconds is None:
        raise BadRequest
    return seconds


def _found(
    feed: str, item: str, play: PlayEntry | None, known: FeedShown | None, row: EpisodeRow | None
) -> EpisodeDetails:
    podcast = display.podcast_of(feed, _summary(known) if known else None)
    listed = display.episode_of(row, podcast, play) if row else None
    if listed is None and play is not None:
        listed = display.heard(play, known, None)
    listed = listed or Episode(feed, item, humanize.episode_name(item), podcast.title)
    address = row.enclosure_url if row else parts_of_item(item)[1]
    return EpisodeDetails(listed._replace(item=item), podcast, row, address if is_web(address) else "")


def _summary(known: FeedShown) -> Summary:
    """Return as much of the podcast's summary as the page of an episode shows."""
    return Summary(known.id, known.uid, known.title, known.author, known.cover_url, None, 0, "")
