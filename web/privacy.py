"""/privacy-manager: what others see of a listener, and changing it after a preview of the effects."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

from django.conf import settings as options
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts import profiles
from accounts.models import User
from accounts.pages import read_or_post
from eventstore.dispatcher import Outcome
from eventstore.domain import privacy, times
from eventstore.domain.privacy import Level, PrivacyEntry
from eventstore.domain.sync import SyncUserData
from feeds.queries import feeds_for
from projections import exposure
from projections.exposure import Act, Change, PublicActs, Scope
from projections.profiles import lists_of
from web import activity_texts, privacy_levels, privacy_overrides, privacy_preview
from web.activity_texts import Titles
from web.forms import OverridesForm
from web.privacy_overrides import Cut, Settings
from web.read_your_writes import caught_up, redirect_after
from web.shortcuts import for_listeners, is_partial, send
from web.toasts import tell, undo_of

PATH: Final = "/privacy-manager"
SHOWN: Final = 5
# what a change applies to: the account, chosen podcasts and episodes, or everything with a level of its own
ACCOUNT, CHOSEN, ALL = "account", "chosen", "all"
PROJECTORS = ("privacy", "public_events", "subscriptions")


class Example(NamedTuple):
    """A level for the account, and what others see at that level of the latest
    thing that the listener did."""

    level: Level
    icon: str
    name: str
    meaning: str
    is_set: bool
    line: activity_texts.ActivityLine | None


class Sight(NamedTuple):
    """The latest thing that the listener did, and what others see now."""

    newest: Act | None
    seen: PublicActs

    def acts(self) -> list[Act]:
        return [*(act for act, _named in self.seen.acts), *([self.newest] if self.newest else [])]


class Wanted(NamedTuple):
    """A change as requested by a form: what it applies to, the new level ("" clears levels), and
    the ``keys`` of what is chosen."""

    scope: str
    level: Level | None
    keys: list[str]

    def fields(self) -> list[tuple[str, str]]:
        """Return the form fields that request the same change again."""
        named = [("scope", self.scope), ("level", self.level or "")]
        return [*named, *(("chosen", key) for key in self.keys)]


@read_or_post
@for_listeners
def manager(request: HttpRequest, user: User) -> HttpResponse:
    """Show the account's level, what others see now, and what has a level of its own; ``q`` searches,
    ``show`` selects the list, ``after`` is the cursor. A POST applies the change that its fields describe."""
    if request.method == "POST":
        return _apply(request, user)
    form = OverridesForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else form.defaults
    is_list = is_partial(request, "found")
    with caught_up(request, *PROJECTORS):
        settings = privacy_overrides.settings_of(user.pk)
        sight = None if is_list else _sight(user.pk)
        page, known = _page(user.pk, settings, wanted, sight.acts() if sight else [])
        context = {
            "listed": privacy_overrides.listed(page.scopes, settings, known),
            "found": page.found,
            "own": len(settings.scopes()),
            "searched": wanted["q"],
            "show": wanted["show"],
        }
        if sight:
            context |= _seen(user, settings, sight, known)
    context["form"] = form
    context["following"] = form.address(PATH, after=page.following) if page.following else ""
    context["first"] = form.address(PATH) if wanted["after"] else ""
    name = "_list" if is_list else "manager"
    return render(request, f"web/privacy/{name}.html", context)


@require_POST
@for_listeners
def preview(request: HttpRequest, user: User) -> HttpResponse:
    """Show what others would see differently before the change is made; the
    change itself takes another POST."""
    wanted = _wanted(request)
    with caught_up(request, *PROJECTORS):
        changes, _before = _changes(user.pk, wanted)
        found = privacy_preview.of(user, changes)
    context = {
        "count": len(changes),
        "preview": found,
        "heading": privacy_preview.heading(changes),
        "fields": wanted.fields(),
        "is_chosen": wanted.scope != CHOSEN or bool(wanted.keys),
    }
    name = "_preview" if is_partial(request, "dialog") else "preview"
    return render(request, f"web/privacy/{name}.html", context)


def _page(
    user_id: UUID, settings: Settings, wanted: dict[str, Any], done: Sequence[Act]
) -> tuple[Cut, Titles]:
    """Return a page of the list, either of what has a level of its own or of what is followed, with the
    titles for it and for the acts in ``done``."""
    scopes = privacy_overrides.followed(user_id) if wanted["show"] else settings.scopes()
    if not wanted["q"]:
        page = privacy_overrides.cut(scopes, wanted["after"])
        return page, _titles(user_id, page.scopes, done)
    known = _titles(user_id, scopes, done)
    return privacy_overrides.cut(privacy_overrides.search(scopes, wanted["q"], known), wanted["after"]), known


def _sight(user_id: UUID) -> Sight:
    return Sight(exposure.newest(user_id), exposure.seen(user_id, SHOWN))


def _seen(user: User, settings: Settings, sight: Sight, known: Titles) -> dict[str, Any]:
    """Return what others see now, and an example of each level."""
    return {
        "account": settings.account(),
        "profile": profiles.published(user.pk),
        "follows": list(exposure.followed(user.pk).values()).count("public"),
        "lists": len(lists_of(user.pk)),
        "own_page": f"/u/{quote(user.username)}",
        "days": options.RETENTION_DAYS,
        "examples": _examples(user, settings, sight.newest, known),
        "seen": sight.seen,
        "lines": [
            activity_texts.line(act, user.username if named else activity_texts.somebody(), known)
            for act, named in sight.seen.acts
        ],
    }


def _examples(user: User, settings: Settings, newest: Act | None, known: Titles) -> list[Example]:
    own = settings.account().level
    found = []
    for level in privacy_levels.LEVELS:
        line = None
        if newest is not None and level == "public":
            line = activity_texts.line(newest, user.username, known)
        elif newest is not None and level == "anonymous":
            hour = newest.happened_at.replace(minute=0, second=0, microsecond=0)
            line = activity_texts.line(newest._replace(happened_at=hour), activity_texts.somebody(), known)
        named = (
            privacy_levels.ICONS[level],
            str(privacy_levels.NAMES[level]),
            str(privacy_levels.ACCOUNT_MEANINGS[level]),
        )
        found.append(Example(level, *named, own == level, line))
    return found


def _titles(user_id: UUID, scopes: Sequence[Scope], done: Sequence[Act]) -> Titles:
    rows = [*done, *(Act("", feed, item, times.NEVER) for feed, item in scopes)]
    return activity_texts.titles(rows, feeds_for(user_id, {row.rss_source_feed for row in rows}))


def _wanted(request: HttpRequest) -> Wanted:
    """Read the change that a form requests. Raises ``BadRequest`` if no page of ours could have sent it."""
    level = request.POST.get("level", "")
    if level not in (*privacy_levels.LEVELS, ""):
        raise BadRequest
    chosen: Level | None = level or None  # type: ignore[assignment]  # of LEVELS, as just seen
    if "only" in request.POST:
        return Wanted(CHOSEN, chosen, [request.POST["only"]])
    scope = request.POST.get("scope", "")
    if scope not in (ACCOUNT, CHOSEN, ALL):
        raise BadRequest
    return Wanted(scope, chosen, request.POST.getlist("chosen") if scope == CHOSEN else [])


def _changes(user_id: UUID, wanted: Wanted) -> tuple[list[Change], Settings]:
    """Return the changes that have an effect, and the current settings."""
    settings = privacy_overrides.settings_of(user_id)
    scopes: list[tuple[str | None, str | None]] = [(None, None)]
    if wanted.scope == ALL:
        scopes = list(settings.scopes())
    elif wanted.scope == CHOSEN:
        scopes = [privacy_overrides.scope_in_form(key) for key in wanted.keys]
    changes = [Change(*scope, wanted.level) for scope in dict.fromkeys(scopes)]
    return [
        change for change in changes if settings.level_of(change.feed, change.item) != change.level
    ], settings


def _apply(request: HttpRequest, user: User) -> HttpResponse:
    wanted = _wanted(request)
    with caught_up(request, "privacy"):
        changes, settings = _changes(user.pk, wanted)
    if not changes:
        tell(request, _("Nothing has changed."))
        return redirect(PATH)
    outcome = _record(request, user, changes, settings)
    tell(request, _message(changes), undo=undo_of(outcome))
    return redirect_after(outcome.position, PATH)


def _message(changes: Sequence[Change]) -> str:
    if changes[0].feed is None:
        level = changes[0].level or exposure.default_level()
        return _("Your account is %(level)s now.") % {"level": str(privacy_levels.NAMES[level]).lower()}
    count = len(changes)
    words = ngettext("%(count)s level changed.", "%(count)s levels changed.", count)
    return words % {"count": number_format(count)}


def _record(request: HttpRequest, user: User, changes: Sequence[Change], settings: Settings) -> Outcome:
    """Record all changes in one append, each with a time later than that of the setting it replaces."""
    now = timezone.now()
    entries = [
        PrivacyEntry(change.level, _after(settings, change, now), change.feed, change.item)
        for change in changes
    ]
    return send(request, SyncUserData(user_id=user.pk, now=now, privacy_settings=entries))


def _after(settings: Settings, change: Change, now: datetime) -> datetime:
    known = settings.by_scope.get(privacy.scope_of(change.feed, change.item))
    return times.after_all(now, known.changed_at) if known else now
