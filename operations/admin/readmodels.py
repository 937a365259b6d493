"""Read models to look at: how far each projector has come, and what the public sees.

The read models of listeners are private; only their sizes are shown, on the page of stores.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils import timezone

from accounts.models import User
from eventstore.admin import Bounded, ReadOnly, ago, moment
from feeds.queries import episodes_of, feeds_of
from projections import lag
from projections.failures import suppress_outages
from projections.models import ProjectorPosition
from projections.public_models import EpisodePopularity, PodcastPopularity, PublicEvent

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
else:
    AnyAdmin = admin.ModelAdmin

FIGURES = ("score", "subscribers", "plays", "likes", "shares")


@admin.register(ProjectorPosition)
class ProjectorPositionAdmin(ReadOnly, Bounded, AnyAdmin):
    heading = "Projectors"
    about = "Each projector keeps the tables of one topic up to date with the event log."
    list_display = ("projector", "position", "behind", "seconds", "moved", "has_dead_letters")
    list_display_links = None
    ordering = ("projector",)

    def prepare(self, rows: list[Any]) -> None:
        known = {each.projector: each for each in _lags()}
        for row in rows:
            row.lag = known.get(row.projector)

    @admin.display(description="events behind")
    def behind(self, row: Any) -> int | None:
        return row.lag.events if row.lag else None

    @admin.display(description="seconds behind")
    def seconds(self, row: Any) -> int | None:
        return round(row.lag.seconds) if row.lag else None

    @admin.display(description="last advanced")
    def moved(self, row: ProjectorPosition) -> str:
        at: datetime | None = row.updated_at
        return ago(at, timezone.now())

    @admin.display(description="dead letters", boolean=True)
    def has_dead_letters(self, row: ProjectorPosition) -> bool:
        return not row.parked


class Public(ReadOnly, Bounded, AnyAdmin):
    """Rows that everybody may see, shown with the titles of their podcast and episode."""

    list_display_links = None

    def prepare(self, rows: list[Any]) -> None:
        known = feeds_of({row.rss_source_feed for row in rows})
        names = {(row.rss_source_feed, _item(row)) for row in rows}
        episodes = episodes_of(names, known)
        for row in rows:
            feed = known.get(row.rss_source_feed)
            episode = episodes.get((row.rss_source_feed, _item(row) or ""))
            row.shown_podcast = (feed.title if feed else "") or "never fetched"
            row.shown_episode = episode.title if episode else ""

    @admin.display(description="podcast")
    def podcast(self, row: Any) -> str:
        return str(row.shown_podcast)

    @admin.display(description="episode")
    def episode(self, row: Any) -> str:
        return str(row.shown_episode)


@admin.register(PublicEvent)
class PublicEventAdmin(Public):
    heading = "Public events"
    about = "Public activity of listeners. Those who want to be anonymous are not named anywhere."
    list_display = ("at", "kind", "podcast", "episode", "listener")
    ordering = ("-happened_at", "-id")

    def prepare(self, rows: list[Any]) -> None:
        super().prepare(rows)
        wanted = {row.user_id for row in rows if row.user_id}
        names = dict(User.objects.filter(pk__in=wanted).values_list("pk", "username"))
        for row in rows:
            row.shown_listener = names.get(row.user_id, "") if row.user_id else "anonymous"

    @admin.display(description="when")
    def at(self, row: PublicEvent) -> str:
        return moment(row.happened_at)

    @admin.display(description="listener")
    def listener(self, row: Any) -> str:
        return str(row.shown_listener)


@admin.register(PodcastPopularity)
class PodcastPopularityAdmin(Public):
    heading = "Popular podcasts"
    about = "Counted every five minutes, from public activity only."
    list_display = ("podcast", *FIGURES)
    ordering = ("-score", "-feed_key")


@admin.register(EpisodePopularity)
class EpisodePopularityAdmin(Public):
    heading = "Popular episodes"
    about = PodcastPopularityAdmin.about
    list_display = ("episode", "podcast", *FIGURES)
    ordering = ("-score", "-item_key")


def _item(row: Any) -> str | None:
    item: str | None = getattr(row, "rss_source_item", None)
    return item


def _lags() -> list[lag.Lag]:
    with suppress_outages():
        return lag.lags()
    return []
