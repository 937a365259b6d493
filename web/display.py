"""Podcasts and episodes as the pages show them."""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import urlencode

from eventstore.domain.identifiers import key_of
from eventstore.domain.plays import PlayEntry
from feeds.browsing import EpisodeRow, Summary
from feeds.chapters import EpisodeChapter
from feeds.queries import EpisodeShown, FeedShown
from web import humanize
from web.addresses import in_path
from web.privacy_levels import EffectiveLevel

# the number of background colours for missing covers (static/components.css)
HUES = 8
MOST_COUNTED = 99
FAILING = ("failing", "gone", "dead")


# cached: a row contains its feed in half a dozen addresses, and most rows of a page are from a few feeds
@lru_cache(maxsize=2_048)
def _query_of(feed: str) -> str:
    return urlencode({"feed": in_path(feed)})


class Podcast(NamedTuple):
    """A podcast. ``feed``: its ``rss_source_feed``. ``title``: the feed's host until it is fetched.
    ``cover``: the path of its picture, or "". ``unplayed``: None if it is not counted. ``privacy``: who sees
    what the listener does with it, on pages that show it."""

    feed: str
    title: str
    is_fetched: bool = True
    author: str = ""
    cover: str = ""
    newest_at: datetime | None = None
    unplayed: int | None = None
    is_failing: bool = False
    privacy: EffectiveLevel | None = None

    @property
    def path(self) -> str:
        return f"/podcasts/{in_path(self.feed)}"

    @property
    def hue(self) -> int:
        return int(key_of(self.feed)[:4], 16) % HUES

    @property
    def initials(self) -> str:
        return humanize.initials(self.title)

    @property
    def address(self) -> str:
        """Return the address of the feed in readable form."""
        return humanize.address_of(self.feed)

    @property
    def unplayed_words(self) -> str:
        count = self.unplayed or 0
        return str(count) if count <= MOST_COUNTED else f"{MOST_COUNTED}+"


class Episode(NamedTuple):
    """An episode. ``podcast``: the title of its podcast. ``duration`` and ``position`` are in seconds; the
    position is 0 if the listener has not begun the episode."""

    feed: str
    item: str
    title: str
    podcast: str = ""
    cover: str = ""
    published_at: datetime | None = None
    duration: int | None = None
    position: int = 0
    played: bool = False
    heard_at: datetime | None = None

    @property
    def path(self) -> str:
        return f"/episodes/{in_path(self.item)}?{_query_of(self.feed)}"

    @property
    def path_to_played(self) -> str:
        return self._path_to("played")

    @property
    def path_to_unplayed(self) -> str:
        return self._path_to("unplayed")

    @property
    def path_to_save(self) -> str:
        return self._path_to("save")

    @property
    def path_to_unsave(self) -> str:
        return self._path_to("unsave")

    @property
    def path_to_playlists(self) -> str:
        return self._path_to("playlists")

    @property
    def path_to_menu(self) -> str:
        return self._path_to("menu")

    @property
    def path_to_share(self) -> str:
        return self._path_to("share")

    @property
    def path_to_transcript(self) -> str:
        return self._path_to("transcript")

    @property
    def path_to_chapters(self) -> str:
        return self._path_to("chapters")

    @property
    def path_to_player(self) -> str:
        return f"/player/{in_path(self.item)}?{_query_of(self.feed)}"

    @property
    def path_to_queue(self) -> str:
        """Return the path that adds it to the queue; ``place`` has to be appended."""
        names = {"feed": in_path(self.feed), "item": in_path(self.item)}
        return f"/queue/add?{urlencode(names)}"

    @property
    def path_to_older(self) -> str:
        """Return the path that marks it and the episodes before it as played."""
        return f"/podcasts/{in_path(self.feed)}/older?{urlencode({'item': in_path(self.item)})}"

    def _path_to(self, what: str) -> str:
        return f"/episodes/{in_path(self.item)}/{what}?{_query_of(self.feed)}"

    @property
    def hue(self) -> int:
        return int(key_of(self.feed)[:4], 16) % HUES

    @property
    def initials(self) -> str:
        return humanize.initials(self.podcast or self.title)

    @property
    def percent(self) -> int | None:
        """Return the percentage that has been heard; None if that is nothing, or the duration is unknown."""
        if self.played:
            return 100
        if not self.position or not self.duration:
            return None
        return max(1, min(100, self.position * 100 // self.duration))

    @property
    def left(self) -> int | None:
        """Return the seconds left of an episode that was begun; None if that is unknown."""
        if self.played or not self.position or not self.duration:
            return None
        return max(0, self.duration - self.position)


def podcast_of(feed: str, known: Summary | None, unplayed: int | None = None) -> Podcast:
    """Return a podcast from its summary, or from its feed name if nothing is known yet."""
    if known is None or not known.is_read:
        is_failing = known is not None and known.state in FAILING
        return Podcast(feed, humanize.host_of(feed), is_fetched=False, is_failing=is_failing)
    title = title_of(feed, known)
    return Podcast(feed, title, True, known.author, known.cover, known.newest_at, unplayed)


def title_of(feed: str, known: Summary | None) -> str:
    """Return the title of a podcast, or the host of its feed until it is known."""
    return (known.title if known else "") or humanize.host_of(feed)


def named(feed: str, known: FeedShown | None) -> Podcast:
    """Return a podcast that a list names, with its title and picture as far as they are known."""
    if known is None or not known.title:
        return Podcast(feed, humanize.host_of(feed), is_fetched=False)
    return public_podcast(feed, known)


def counted(feed: str, known: Summary | None, played: int) -> Podcast:
    """Return a podcast with the number of its episodes that are not played yet."""
    return podcast_of(feed, known, max(0, known.episode_count - played) if known else None)


def episode_of(row: EpisodeRow, podcast: Podcast, play: PlayEntry | None) -> Episode | None:
    """Return an episode as its feed describes it, with the listener's progress;
    None if apps cannot name it."""
    if row.item is None:
        return None
    return Episode(
        podcast.feed,
        row.item,
        row.title or podcast.title,
        podcast.title,
        row.cover or podcast.cover,
        row.published_at,
        row.duration,
        play.position if play else 0,
        bool(play and play.played),
        play.updated_at if play else None,
    )


def public_podcast(feed: str, known: FeedShown) -> Podcast:
    """Return a fetched podcast as public lists show it."""
    cover = known.cover if known.cover_url else None
    return Podcast(feed, known.title, True, known.author, cover or "")


def public_episode(item: str, podcast: Podcast, known: EpisodeShown) -> Episode:
    """Return an episode as public lists show it, without any listener's progress."""
    cover = known.cover or podcast.cover
    title = known.title or podcast.title
    described = cover, known.published_at, known.duration
    return Episode(podcast.feed, item, title, podcast.title, *described)


def heard(play: PlayEntry, feed: FeedShown | None, episode: EpisodeShown | None) -> Episode:
    """Return an episode with the listener's progress and whatever else is known about it."""
    podcast = (feed.title if feed else "") or humanize.host_of(play.rss_source_feed)
    # never requests a generated cover: where there is no picture, the page draws the initials itself
    pictured = feed.cover if feed and feed.cover_url else None
    cover = (episode.cover if episode else None) or pictured or ""
    return Episode(
        play.rss_source_feed,
        play.rss_source_item,
        (episode.title if episode else "") or humanize.episode_name(play.rss_source_item),
        podcast,
        cover,
        episode.published_at if episode else None,
        episode.duration if episode else None,
        play.position,
        play.played,
        play.updated_at,
    )


class Chapter(NamedTuple):
    """A chapter; ``start`` is in seconds."""

    start: int
    title: str

    @classmethod
    def of(cls, chapter: EpisodeChapter) -> Self:
        start = int(chapter.start)
        return cls(start, chapter.title or humanize.clock(start))
