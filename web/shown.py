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
from web import words
from web.addresses import in_path
from web.levels import Glance

# grounds of covers that are missing (static/components.css)
HUES = 8
MOST_COUNTED = 99
FAILING = ("failing", "gone", "dead")


# a row names its feed in half a dozen addresses, and most rows of a page are of a few feeds
@lru_cache(maxsize=2_048)
def _query_of(feed: str) -> str:
    return urlencode({"feed": in_path(feed)})


class Podcast(NamedTuple):
    """``feed``: its ``rss_source_feed``. ``title``: the feed's host until it was fetched. ``cover``: the path
    of its picture, or "". ``unplayed``: None where it is not counted. ``privacy``: who sees what its listener
    does with it, where that is shown."""

    feed: str
    title: str
    is_fetched: bool = True
    author: str = ""
    cover: str = ""
    newest_at: datetime | None = None
    unplayed: int | None = None
    is_failing: bool = False
    privacy: Glance | None = None

    @property
    def path(self) -> str:
        return f"/podcasts/{in_path(self.feed)}"

    @property
    def hue(self) -> int:
        return int(key_of(self.feed)[:4], 16) % HUES

    @property
    def initials(self) -> str:
        return words.initials(self.title)

    @property
    def address(self) -> str:
        """Where the feed is, in words."""
        return words.address_of(self.feed)

    @property
    def unplayed_words(self) -> str:
        count = self.unplayed or 0
        return str(count) if count <= MOST_COUNTED else f"{MOST_COUNTED}+"


class Episode(NamedTuple):
    """``podcast``: the title of its podcast. ``duration`` and ``position`` in seconds; a position of 0 where
    the listener has not begun it."""

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
        """Where it is put into what comes next; ``place`` is still to be added."""
        names = {"feed": in_path(self.feed), "item": in_path(self.item)}
        return f"/queue/add?{urlencode(names)}"

    @property
    def path_to_older(self) -> str:
        """Where it and those before it are marked as played."""
        return f"/podcasts/{in_path(self.feed)}/older?{urlencode({'item': in_path(self.item)})}"

    def _path_to(self, what: str) -> str:
        return f"/episodes/{in_path(self.item)}/{what}?{_query_of(self.feed)}"

    @property
    def hue(self) -> int:
        return int(key_of(self.feed)[:4], 16) % HUES

    @property
    def initials(self) -> str:
        return words.initials(self.podcast or self.title)

    @property
    def percent(self) -> int | None:
        """How much of it is heard; None where nothing is, or its length is not known."""
        if self.played:
            return 100
        if not self.position or not self.duration:
            return None
        return max(1, min(100, self.position * 100 // self.duration))

    @property
    def left(self) -> int | None:
        """Seconds to the end of an episode that was begun; None where that is not known."""
        if self.played or not self.position or not self.duration:
            return None
        return max(0, self.duration - self.position)


def podcast_of(feed: str, known: Summary | None, unplayed: int | None = None) -> Podcast:
    """A podcast of which a summary is known, or nothing yet."""
    if known is None or not known.is_read:
        is_failing = known is not None and known.state in FAILING
        return Podcast(feed, words.host_of(feed), is_fetched=False, is_failing=is_failing)
    title = known.title or words.host_of(feed)
    return Podcast(feed, title, True, known.author, known.cover, known.newest_at, unplayed)


def named(feed: str, known: FeedShown | None) -> Podcast:
    """A podcast that a list names, with the title and the picture that are known of it."""
    if known is None or not known.title:
        return Podcast(feed, words.host_of(feed), is_fetched=False)
    return public_podcast(feed, known)


def counted(feed: str, known: Summary | None, played: int) -> Podcast:
    """A podcast with how many of its episodes are not played yet."""
    return podcast_of(feed, known, max(0, known.episode_count - played) if known else None)


def episode_of(row: EpisodeRow, podcast: Podcast, play: PlayEntry | None) -> Episode | None:
    """An episode as its feed describes it, and as its listener heard it; None where no app can name it."""
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
    """A podcast that was read, as public lists show it."""
    cover = known.cover if known.cover_url else None
    return Podcast(feed, known.title, True, known.author, cover or "")


def public_episode(item: str, podcast: Podcast, known: EpisodeShown) -> Episode:
    """An episode as public lists show it, without what anybody heard of it."""
    cover = known.cover or podcast.cover
    title = known.title or podcast.title
    told = cover, known.published_at, known.duration
    return Episode(podcast.feed, item, title, podcast.title, *told)


def heard(play: PlayEntry, feed: FeedShown | None, episode: EpisodeShown | None) -> Episode:
    """An episode as its listener heard it, whatever is known of it beside that."""
    podcast = (feed.title if feed else "") or words.host_of(play.rss_source_feed)
    # a drawn cover is not asked for: where there is no picture, the page draws the initials itself
    pictured = feed.cover if feed and feed.cover_url else None
    cover = (episode.cover if episode else None) or pictured or ""
    return Episode(
        play.rss_source_feed,
        play.rss_source_item,
        (episode.title if episode else "") or words.episode_name(play.rss_source_item),
        podcast,
        cover,
        episode.published_at if episode else None,
        episode.duration if episode else None,
        play.position,
        play.played,
        play.updated_at,
    )


class Chapter(NamedTuple):
    """``start`` in seconds."""

    start: int
    title: str

    @classmethod
    def of(cls, told: EpisodeChapter) -> Self:
        start = int(told.start)
        return cls(start, told.title or words.clock(start))
