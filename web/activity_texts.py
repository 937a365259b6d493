"""The public acts of listeners in words: "Alice played Episode 3", with the podcast
or episode that it links to."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feeds.queries import EpisodeName, EpisodeShown, FeedShown, episodes_of
from web import humanize
from web.display import Episode, Podcast

# by kind of act: an icon, and its sentence
SENTENCES: Final[dict[str, tuple[str, str | Promise]]] = {
    "subscribe": ("circle-plus", _("{who} follows {what}")),
    "play": ("play", _("{who} played {what}")),
    "save": ("bookmark", _("{who} saved {what}")),
    "share": ("share-2", _("{who} shared {what}")),
}


class ActivityLine(NamedTuple):
    """An act in words; ``of`` is the podcast or episode that it is about."""

    icon: str
    sentence: SafeString
    of: Podcast | Episode
    happened_at: datetime


class Titles(NamedTuple):
    """The known titles of the podcasts and episodes of some rows, for a viewer who may see these feeds."""

    feeds: Mapping[str, FeedShown]
    episodes: Mapping[EpisodeName, EpisodeShown]

    def podcast(self, feed: str) -> Podcast:
        known = self.feeds.get(feed)
        title = (known.title if known else "") or humanize.host_of(feed)
        return Podcast(feed, title, bool(known), known.author if known else "", _picture(known))

    def episode(self, feed: str, item: str) -> Episode:
        podcast, known = self.podcast(feed), self.episodes.get((feed, item))
        title = (known.title if known else "") or humanize.episode_name(item)
        return Episode(feed, item, title, podcast.title, (known and known.cover) or podcast.cover)

    def of(self, feed: str, item: str | None) -> Podcast | Episode:
        return self.podcast(feed) if item is None else self.episode(feed, item)

    def is_blocked(self, row: Any) -> bool:
        """Whether the publisher keeps the episode of a row out of public lists."""
        known = self.episodes.get((row.rss_source_feed, row.rss_source_item or ""))
        return known is not None and known.blocked


def titles(rows: Iterable[Any], feeds: Mapping[str, FeedShown]) -> Titles:
    """Return the titles of the feeds and items that the rows name, as far as ``feeds`` contains them."""
    names = [(row.rss_source_feed, row.rss_source_item) for row in rows]
    return Titles(feeds, episodes_of(names, feeds))


def line(act: Any, who: str, known: Titles) -> ActivityLine:
    """Describe what ``who`` did; ``act`` has the kind, feed, item and time."""
    icon, sentence = SENTENCES[act.kind]
    of = known.of(act.rss_source_feed, act.rss_source_item)
    return ActivityLine(icon, _sentence(str(sentence), who, of), of, act.happened_at)


def somebody() -> str:
    """Return the name to show for an anonymous listener."""
    return gettext("Somebody")


def _sentence(text: str, who: str, of: Podcast | Episode) -> SafeString:
    # each name keeps its own writing direction
    return format_html(text, who=_isolated(who), what=_isolated(of.title))


def _isolated(name: str) -> SafeString:
    return format_html("<bdi>{}</bdi>", name)


def _picture(known: FeedShown | None) -> str:
    # never requests a generated cover: where there is no picture, the page draws the initials itself
    return (known.cover or "") if known and known.cover_url else ""
