"""Podcasts in the administration: categories, the operator's additions, and the state of feeds.

Categories that came with the program are read-only; the operator's own can be changed.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import connections
from django.db.models import ForeignKey, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from eventstore import marks
from eventstore.admin import MOST_CHOSEN, Bounded, ReadOnly, ask, moment
from feeds import merges, moves
from feeds.forms import EnrichedPodcastForm
from feeds.merges import NotMergeable
from feeds.models import Category, EnrichedPodcast, Feed, FeedAlias, FeedMove, FeedSchedule
from feeds.states import Facts, error_of, state_of
from projections.public_models import BlockedFeed

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Category]
    EnrichedAdmin = admin.ModelAdmin[EnrichedPodcast]
    AnyFeedAdmin = admin.ModelAdmin[Feed]
else:
    Admin = EnrichedAdmin = AnyFeedAdmin = admin.ModelAdmin


# the reasons of moves that are reported; an http address that became https is none
MOVES = (FeedAlias.Reason.MOVED, FeedAlias.Reason.NEW_FEED_URL)
BLOCKED = (
    "Only those who already follow these podcasts can still find, see and play them, and nothing that"
    " listeners do with them is public, including past activity. The block can be lifted again."
)


@admin.register(Category)
class CategoryAdmin(Bounded, Admin):
    list_display = ("name", "slug", "parent", "seeded")
    list_filter = ("seeded",)
    list_select_related = ("parent",)
    search_fields = ("name", "slug")
    ordering = ("name",)
    fields = ("slug", "name", "parent", "seeded")

    def get_readonly_fields(self, request: HttpRequest, obj: Category | None = None) -> tuple[str, ...]:
        return ("seeded",) if obj is None else ("slug", "seeded")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _may_write() and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Category | None = None) -> bool:
        return _is_own(obj) and _may_write() and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Category | None = None) -> bool:
        return _is_own(obj) and _may_write() and super().has_delete_permission(request, obj)

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "ModelChoiceField[Any] | None":
        # there are two levels only: a subcategory cannot have subcategories
        return super().formfield_for_foreignkey(
            db_field, request, **kwargs, queryset=Category.objects.filter(parent=None)
        )


@admin.register(EnrichedPodcast)
class EnrichedPodcastAdmin(Bounded, EnrichedAdmin):
    heading = "What you add to podcasts"
    about = (
        "A slug for its address, a colour, links and a note, shown to everybody who sees the podcast; and"
        " whether it is featured."
    )
    form = EnrichedPodcastForm
    list_display = ("slug", "url", "color", "featured")
    list_filter = ("featured",)
    search_fields = ("slug", "url", "note")
    ordering = ("slug",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: EnrichedPodcast | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else ("url",)


@admin.register(Feed)
class FeedAdmin(ReadOnly, Bounded, AnyFeedAdmin):
    """Feeds: read-only, with a few actions. The address of a secret feed works as its key: only the host of
    such a feed is shown, and no search finds it."""

    list_display = ("name", "address", "fares", "last_error", "next_at", "followers", "closed")
    list_filter = ("state", "is_secret", "blocked")
    sortable_by = ("next_at", "followers")
    list_select_related = ("schedule__host", "merged_into")
    search_fields = ("title", "author", "url")
    ordering = ("-id",)
    about = "Every podcast that this server knows: the state of its feed, and when it is fetched next."
    search_help_text = "Search by part of the title, author or address; secret feeds are not found."
    actions = ("refetch", "block", "unblock", "merge", "unmerge")
    fields = (
        *("name", "address", "uid", "fares", "last_error", "status", "fetched_at", "ok_at", "next_at"),
        *("followers", "is_secret", "blocked", "blocked_by_operator", "other_addresses"),
        *("merged_into", "episode_count", "newest_at", "warnings", "first_seen_at", "changed_at"),
    )

    def prepare(self, rows: list[Any]) -> None:
        """Note which of these feeds the operator has blocked, under any of their addresses, and when each
        moved."""
        keys = dict(FeedAlias.objects.filter(feed__in=rows).values_list("feed_key", "feed_id"))
        marked = BlockedFeed.objects.filter(feed_key__in=keys).exclude(operator_since=None)
        blocked = {keys[key] for key in marked.values_list("feed_key", flat=True)}
        moved = _moves(rows)
        for feed in rows:
            feed.blocked_here, feed.moved_at = feed.pk in blocked, moved.get(feed.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Feed | None:
        feed = super().get_object(request, object_id, from_field)
        if feed is not None:
            self.prepare([feed])
        return feed

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Feed]", search_term: str
    ) -> tuple["QuerySet[Feed]", bool]:
        shown = queryset.filter(is_secret=False) if search_term else queryset
        return super().get_search_results(request, shown, search_term)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("feeds.change_feed")

    @admin.display(description="podcast")
    def name(self, feed: Feed) -> str:
        return str(feed)

    @admin.display(description="address")
    def address(self, feed: Feed) -> str:
        return f"at {_facts(feed).host}" if feed.is_secret else feed.url

    @admin.display(description="state")
    def fares(self, feed: Feed) -> str:
        if feed.merged_into is not None:
            return f"merged: Part of {feed.merged_into}."
        state = state_of(_facts(feed), timezone.now())
        return f"{state.code}: {state.text}"

    @admin.display(description="not public")
    def closed(self, feed: Feed) -> str:
        """Return why the podcast is not visible to everybody."""
        blocked_here: bool = feed.blocked_here  # type: ignore[attr-defined]
        reasons = {"by you": blocked_here, "by its publisher": feed.blocked, "secret": feed.is_secret}
        return ", ".join(reason for reason, holds in reasons.items() if holds)

    @admin.display(description="last error")
    def last_error(self, feed: Feed) -> str:
        error = error_of(_facts(feed))
        return "" if error is None else error.code

    @admin.display(description="next fetch", ordering="schedule__next_at")
    def next_at(self, feed: Feed) -> str:
        return moment(_facts(feed).next_at)

    @admin.display(ordering="schedule__followers")
    def followers(self, feed: Feed) -> int:
        return schedule.followers if (schedule := _schedule(feed)) else 0

    @admin.display(description="last fetch")
    def fetched_at(self, feed: Feed) -> str:
        return moment(_facts(feed).fetched_at)

    @admin.display(description="last successful fetch")
    def ok_at(self, feed: Feed) -> str:
        return moment(_facts(feed).ok_at)

    @admin.display(description="last response status")
    def status(self, feed: Feed) -> int | None:
        return _facts(feed).status

    @admin.display(boolean=True)
    def blocked_by_operator(self, feed: Feed) -> bool:
        return any(
            mark.blocked and mark.marked_by == "operator"
            for key in _keys([feed])
            for mark in marks.feed_marks(key)
        )

    @admin.display
    def other_addresses(self, feed: Feed) -> str:
        if feed.is_secret:
            return "not shown"
        return ", ".join(alias.url for alias in feed.aliases.all() if alias.url != feed.url)

    @admin.action(description="Fetch again, in full", permissions=["operate"])
    def refetch(self, request: HttpRequest, chosen: "QuerySet[Feed]") -> None:
        """Make the feeds due, so that the pump fetches them within seconds. Validators and body digest are
        cleared, so that everything is read again."""
        now, validators = timezone.now(), {"etag": "", "last_modified": "", "body_hash": None}
        due = FeedSchedule.objects.filter(feed__in=chosen, feed__merged_into=None)
        number = due.update(next_at=now, **validators)
        self._tell(request, chosen, "Fetched again", f"{number} of them are fetched within seconds.")

    @admin.action(description="Block: hide from everybody but followers", permissions=["operate"])
    def block(self, request: HttpRequest, chosen: "QuerySet[Feed]") -> HttpResponse | None:
        if question := ask(self, request, chosen, title="Block", text=BLOCKED, button="Block"):
            return question
        self._mark(request, chosen, blocked=True)
        return None

    @admin.action(description="Lift the block", permissions=["operate"])
    def unblock(self, request: HttpRequest, chosen: "QuerySet[Feed]") -> None:
        self._mark(request, chosen, blocked=False)

    @admin.action(description="Merge two", permissions=["operate"])
    def merge(self, request: HttpRequest, chosen: "QuerySet[Feed]") -> HttpResponse | None:
        """Merge two feeds; asks first which of them is kept."""
        pair = list(chosen.order_by("id")[:3])
        if len(pair) != 2:
            self.message_user(request, "Choose two feeds that are one show.", messages.ERROR)
            return None
        kept = next((feed for feed in pair if str(feed.pk) == request.POST.get("kept")), None)
        if kept is None:
            shown = [(feed, self.name(feed), self.address(feed)) for feed in pair]
            context = {**self.admin_site.each_context(request), "feeds": shown, "title": "Merge two feeds"}
            return render(request, "admin/feeds/merge.html", context)
        (other,) = (feed for feed in pair if feed != kept)
        try:
            moves.check_public(other.pk, kept.pk)
            merges.merge(other.pk, kept.pk, "operator", timezone.now())
        except NotMergeable as refused:
            self.message_user(request, f"Not merged: {refused}.", messages.ERROR)
        else:
            self._tell(request, chosen, "Merged", f"{other} is part of {kept} now.")
        return None

    @admin.action(description="Undo the merge into another feed", permissions=["operate"])
    def unmerge(self, request: HttpRequest, chosen: "QuerySet[Feed]") -> None:
        for feed in chosen.order_by("id")[:MOST_CHOSEN]:
            try:
                merges.unmerge(str(feed.uid), timezone.now())
            except NotMergeable as refused:
                self.message_user(request, f"{feed} was not unmerged: {refused}.", messages.ERROR)
            else:
                one = Feed.objects.filter(pk=feed.pk)
                self._tell(request, one, "Unmerged", f"{feed} is a separate feed again.")

    def _mark(self, request: HttpRequest, chosen: "QuerySet[Feed]", *, blocked: bool) -> None:
        """Mark the feeds under all their addresses: listeners' data stays under the one that they used."""
        keys = dict.fromkeys(_keys(chosen), blocked)
        changed = marks.mark_all(keys, "operator", timezone.now())
        what = "Blocked" if blocked else "No longer blocked"
        message = f"{what}: {len(chosen)}." if changed else "It was so already."
        self._tell(request, chosen, what, message)

    def _tell(self, request: HttpRequest, feeds: "QuerySet[Feed]", what: str, message: str) -> None:
        for feed in feeds:
            self.log_change(request, feed, f"{what}.")
        self.message_user(request, message, messages.SUCCESS)


def _schedule(feed: Feed) -> FeedSchedule | None:
    found: FeedSchedule | None = getattr(feed, "schedule", None)
    return found


def _facts(feed: Feed) -> Facts:
    schedule = _schedule(feed)
    if schedule is None:
        return Facts(feed.state, "", None, None, None, "", None, None, None, None, None)
    return Facts(
        stored_state=feed.state,
        host=schedule.host.name,
        fetched_at=schedule.fetched_at,
        ok_at=schedule.ok_at,
        next_at=schedule.next_at,
        error=schedule.error,
        error_since=schedule.error_since,
        status=schedule.status,
        paused_until=schedule.host.paused_until,
        host_failures=schedule.host.failures,
        moved_at=getattr(feed, "moved_at", None),
    )


def _moves(feeds: list[Feed]) -> dict[int, datetime]:
    """Return when each of these feeds, or one that is part of it, last moved; without those that did not."""
    moves = FeedMove.objects.filter(decided=FeedMove.Decision.FOLLOWED, reason__in=MOVES)
    own = moves.filter(feed__in=feeds).values_list("feed", "decided_at")
    parts = moves.filter(feed__merged_into__in=feeds).values_list("feed__merged_into", "decided_at")
    found = sorted((at, pk) for pk, at in (*own, *parts) if at is not None and pk is not None)
    return {pk: at for at, pk in found}


def _keys(feeds: "Iterable[Feed]") -> list[UUID]:
    """Return the digests of all addresses of these feeds."""
    return list(FeedAlias.objects.filter(feed__in=feeds).values_list("feed_key", flat=True))


def _may_write() -> bool:
    """Whether the database role may write categories: the role for the web process alone may not
    (operations/grants.py)."""
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('system.categories', 'INSERT')")
        return bool(cursor.fetchone()[0])


def _is_own(category: Category | None) -> bool:
    """Whether the operator added this category; the next ``seed_up`` would undo changes to any other."""
    return category is None or not category.seeded
