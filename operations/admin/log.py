"""The history: the events of listeners, described without what they listened to, and the actions of
administrators."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User
from accounts.usernames import username_key
from eventstore import log
from eventstore.admin import Bounded, ReadOnly, moment
from eventstore.domain.messages import Event, Origin
from eventstore.log import RecordedEvent
from eventstore.models import StoredEvent
from eventstore.reading import decoded, origin_of
from feeds.queries import episodes_of, feeds_of
from operations.admin.people import by_id
from projections import public
from projections.projectors.public_events import TELLING
from projections.public import Act
from projections.queries import Behind

if TYPE_CHECKING:
    EventAdmin = admin.ModelAdmin[StoredEvent]
    EntryAdmin = admin.ModelAdmin[LogEntry]
else:
    EventAdmin = EntryAdmin = admin.ModelAdmin

PRIVATE = "not shown"


class Details(NamedTuple):
    """What the administration shows of an event."""

    user: str
    origin: Origin
    subject: str


@admin.register(StoredEvent)
class StoredEventAdmin(ReadOnly, Bounded, EventAdmin):
    about = (
        "Recorded events, and which app and device they came from. The podcast or episode is named only if"
        " its listener shows it to everybody; the other contents of an event are not shown here."
    )
    list_display = ("at", "user", "what", "subject", "app", "device", "position")
    list_display_links = ("at",)
    fields = ("position", "at", "user", "what", "subject", "app", "device", "version", "event_id")
    readonly_fields = ("at", "user", "what", "subject", "app", "device")
    search_fields = ("stream",)
    search_help_text = "Search by the complete user name or user id."
    ordering = ("-position",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[StoredEvent]":
        # the data of a checkpoint may be megabytes
        return super().get_queryset(request).defer("data", "metadata")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[StoredEvent]", search_term: str
    ) -> tuple["QuerySet[StoredEvent]", bool]:
        if not search_term:
            return queryset, False
        user_id = by_id(search_term)
        if user_id is None:
            found = (
                User.objects.filter(username_key=username_key(search_term))
                .values_list("pk", flat=True)
                .first()
            )
            user_id = found
        stream = log.known_stream(user_id) if user_id else None
        # newest first, in the order of the index on stream and version
        return queryset.filter(stream=stream).order_by("-version") if stream else queryset.none(), False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> StoredEvent | None:
        event = super().get_object(request, object_id, from_field)
        if event is not None:
            self.prepare([event])
        return event

    def prepare(self, rows: list[Any]) -> None:
        recorded = {row.position: row for row in log.read_these([row.position for row in rows])}
        users = log.users_of(sorted({row.stream for row in rows}))
        names = dict(User.objects.filter(pk__in=users.values()).values_list("pk", "username"))
        found = [recorded.get(row.position) for row in rows]
        for row, event, subject in zip(rows, found, _subjects(found), strict=True):
            user_id = users.get(row.stream)
            name = names.get(user_id, str(user_id)) if user_id else "the instance"
            row.details = Details(name, origin_of(event) if event else Origin(), subject)

    @admin.display(description="arrived")
    def at(self, event: StoredEvent) -> str:
        return moment(event.recorded_at)

    @admin.display(description="user")
    def user(self, event: StoredEvent) -> str:
        return _details(event).user

    @admin.display(description="what")
    def what(self, event: StoredEvent) -> str:
        return in_words(event.type)

    @admin.display(description="podcast or episode")
    def subject(self, event: StoredEvent) -> str:
        return _details(event).subject

    @admin.display(description="app")
    def app(self, event: StoredEvent) -> str:
        return _details(event).origin.app_id or ""

    @admin.display(description="device")
    def device(self, event: StoredEvent) -> str:
        return _details(event).origin.device_name or ""


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnly, Bounded, EntryAdmin):
    heading = "Done by administrators"
    about = "What administrators changed here, and when. Nothing about erased accounts is left here."
    list_display = ("at", "user", "change", "object_repr", "kind")
    list_display_links = None
    list_select_related = ("user", "content_type")
    search_fields = ("user__username", "object_repr")
    search_help_text = "Search by the administrator’s user name, or by what was changed."
    ordering = ("-action_time",)

    @admin.display(description="when")
    def at(self, entry: LogEntry) -> str:
        return moment(entry.action_time)

    @admin.display(description="what was done")
    def change(self, entry: LogEntry) -> str:
        return entry.get_change_message() or "Changed."

    @admin.display(description="kind")
    def kind(self, entry: LogEntry) -> str:
        return str(entry.content_type.name) if entry.content_type else ""


def in_words(stored_name: str) -> str:
    """Turn ``PlaylistItemAdded`` into "Playlist item added"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", stored_name).capitalize()


def _subjects(rows: Sequence[RecordedEvent | None]) -> list[str]:
    """Return the title of what each event is about, where everybody may know it.

    Otherwise return ``PRIVATE``, or "" for an event that names nothing.
    """
    events = [decoded(row) if row else None for row in rows]
    acts = {place: act for place, event in enumerate(events) if (act := _act(event))}
    try:
        seen = dict(zip(acts, public.shown(list(acts.values())), strict=True))
    except Behind:
        seen = {}
    titles = _titles([acts[place] for place, is_public in seen.items() if is_public])
    return [
        titles[acts[place]] if seen.get(place) else PRIVATE if _names_something(event) else ""
        for place, event in enumerate(events)
    ]


def _act(event: Event | None) -> Act | None:
    if event is None or type(event) not in TELLING:
        return None
    kind, _, is_withdrawn = TELLING[type(event)]
    user_id, feed = getattr(event, "user_id", None), getattr(event, "rss_source_feed", None)
    if is_withdrawn or user_id is None or feed is None:
        return None
    return Act(user_id, kind, feed, getattr(event, "rss_source_item", None))  # type: ignore[arg-type]


def _names_something(event: Event | None) -> bool:
    return any(getattr(event, name, None) for name in ("rss_source_feed", "rss_source_item", "name"))


def _titles(acts: Sequence[Act]) -> dict[Act, str]:
    known = feeds_of({act.feed for act in acts})
    episodes = episodes_of({(act.feed, act.item) for act in acts}, known)
    titles = {}
    for act in acts:
        podcast = known[act.feed].title if act.feed in known else "a podcast that was never fetched"
        episode = episodes.get((act.feed, act.item or "")) if act.item else None
        titles[act] = f"{podcast}: {episode.title}" if episode else podcast
    return titles


def _details(event: StoredEvent) -> Details:
    details: Details = event.details  # type: ignore[attr-defined]
    return details
