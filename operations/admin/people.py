"""People: the accounts, their state, and what an administrator can do about them."""

import logging
from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from accounts import erasure, profiles, pseudonyms, recovery, sessions
from accounts.app_models import AppPassword
from accounts.models import AppGrant, PlayToken, Session, User
from eventstore.admin import MOST_CHOSEN, Bounded, ago, ask
from projections.erasure import erase_history
from projections.failures import is_outage

logger = logging.getLogger(__name__)

# what makes an administrator: only a superuser may grant these, or a helper could promote themselves
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")
COUNTED = ("apps", "passwords", "players", "browsers")
FACTS = ("id", "name_in_logs", "date_joined", "last_login", "seen", *COUNTED, "switched_off_at")
# what a user gets in with: the model, and the column that says when it was last used
WAYS_IN: Final = {
    "apps": (AppGrant, "last_used_at"),
    "passwords": (AppPassword, "used_at"),
    "players": (PlayToken, "last_used_at"),
    "browsers": (Session, "seen_at"),
}
ERASED = "Erased an account."
RESET_LINK = "Give it to the listener yourself, not in public. It is shown here this once, and is in no log."


class NewUserForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email")


class ChangedUserForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email", "is_active", *POWERS)


@admin.register(User)
class UserAdmin(Bounded, DjangoUserAdmin):  # type: ignore[type-arg]
    about = "What they listen to is not shown here: an administrator sees no more of it than anybody else."
    form = ChangedUserForm
    add_form = NewUserForm
    list_display = ("username", "email", "state", "seen", "joined", *COUNTED)
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email")
    search_help_text = "Search by part of the user name or e-mail address, or by the complete id."
    ordering = ("username_key",)
    actions = ("switch_off", "switch_on", "hide_profile", "show_profile")
    readonly_fields = FACTS
    fieldsets = (
        (None, {"fields": ("username", "email", "password", "is_active")}),
        ("Powers", {"fields": POWERS}),
        ("Facts", {"fields": FACTS}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)

    def get_urls(self) -> list[URLPattern]:
        own = {"erase": self.erase, "log-out": self.log_out, "reset-link": self.reset_link}
        paths = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=f"accounts_user_{name}")
            for name, view in own.items()
        ]
        return [*paths, *super().get_urls()]

    def prepare(self, rows: list[Any]) -> None:
        """Count each user's apps, passwords, players and browsers, and find when one was last used: one query
        per kind."""
        ids = [user.pk for user in rows]
        for name, (model, used) in WAYS_IN.items():
            given = model._default_manager.filter(user_id__in=ids).values_list("user_id")
            found = {user_id: counts for user_id, *counts in given.annotate(Count("pk"), Max(used))}
            for user in rows:
                number, at = found.get(user.pk, (0, None))
                setattr(user, f"shown_{name}", number)
                times = [getattr(user, "shown_seen", user.last_login), at]
                user.shown_seen = max(filter(None, times), default=None)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> User | None:
        user = super().get_object(request, object_id, from_field)
        if user is not None:
            self.prepare([user])
        return user

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[User]", search_term: str
    ) -> tuple["QuerySet[User]", bool]:
        if (user := by_id(search_term)) is not None:
            return queryset.filter(pk=user), False
        return super().get_search_results(request, queryset, search_term)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        user = User.objects.filter(pk=unquote(object_id)).first()
        context = {} if user is None else {"may_act": self.has_change_permission(request, user)}
        context |= {} if user is None else {"may_erase": self.has_erase_permission(request, user)}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @admin.display(description="name in the logs")
    def name_in_logs(self, user: User) -> str:
        return pseudonyms.of(user.pk)

    @admin.display(description="state")
    def state(self, user: User) -> str:
        if user.erasing_since is not None:
            return "being erased"
        role = "administrator" if user.is_superuser else "helper" if user.is_staff else ""
        return ", ".join(filter(None, ["active" if user.is_active else "switched off", role]))

    @admin.display(description="joined")
    def joined(self, user: User) -> str:
        return f"{user.date_joined:%Y-%m-%d}"

    @admin.display(description="last seen")
    def seen(self, user: User) -> str:
        return ago(user.shown_seen, timezone.now())  # type: ignore[attr-defined]

    @admin.display(description="apps")
    def apps(self, user: User) -> int:
        return int(user.shown_apps)  # type: ignore[attr-defined]

    @admin.display(description="app passwords")
    def passwords(self, user: User) -> int:
        return int(user.shown_passwords)  # type: ignore[attr-defined]

    @admin.display(description="play tokens")
    def players(self, user: User) -> int:
        return int(user.shown_players)  # type: ignore[attr-defined]

    @admin.display(description="browsers")
    def browsers(self, user: User) -> int:
        return int(user.shown_browsers)  # type: ignore[attr-defined]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return self.readonly_fields if _is_superuser(request) else (*self.readonly_fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and obj.is_superuser and not _is_superuser(request):
            return False  # setting a superuser's password is as good as being one
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the event store has data of the user too: deleting the row would leave it behind

    def has_erase_permission(self, request: HttpRequest, user: User) -> bool:
        """Whether the requester may erase ``user``: needs the right to "delete" users, and never oneself.

        Administrators can be erased only by administrators.
        """
        may = request.user.has_perm("accounts.delete_user") and self.has_change_permission(request, user)
        return may and user.pk != request.user.pk

    @admin.action(description="Switch off: apps, players and sessions end", permissions=["change"])
    def switch_off(self, request: HttpRequest, chosen: "QuerySet[User]") -> HttpResponse | None:
        text = "They can no longer log in; their apps, players and sessions end at once. Nothing is deleted."
        return self._switch(request, chosen, False, "Switch off", text)

    @admin.action(description="Switch on again", permissions=["change"])
    def switch_on(self, request: HttpRequest, chosen: "QuerySet[User]") -> HttpResponse | None:
        text = "They can log in again, and their apps and players work again."
        return self._switch(request, chosen, True, "Switch on", text)

    def _switch(
        self, request: HttpRequest, chosen: "QuerySet[User]", active: bool, button: str, text: str
    ) -> HttpResponse | None:
        if question := ask(self, request, chosen, title=button, text=text, button=button):
            return question
        changed = 0
        for user in chosen.filter(erasing_since=None).exclude(is_active=active)[:MOST_CHOSEN]:
            if user.pk == request.user.pk or not self.has_change_permission(request, user):
                self.message_user(
                    request, f"{user} was left as it is: you may not do that.", messages.WARNING
                )
                continue
            user.is_active = active
            user.save(update_fields=["is_active"])
            self.log_change(request, user, "Switched on." if active else "Switched off.")
            changed += 1
        self.message_user(request, f"{changed} changed.", messages.SUCCESS)
        return None

    @admin.action(description="Hide the profile: name, picture, text and links", permissions=["change"])
    def hide_profile(self, request: HttpRequest, chosen: "QuerySet[User]") -> HttpResponse | None:
        text = "Nobody else sees their public name, picture, text and links any more. They are told so."
        return self._withdraw(request, chosen, True, "Hide the profile", text)

    @admin.action(description="Show the profile again", permissions=["change"])
    def show_profile(self, request: HttpRequest, chosen: "QuerySet[User]") -> HttpResponse | None:
        text = "Others see their profiles again, as far as they are public."
        return self._withdraw(request, chosen, False, "Show the profile again", text)

    def _withdraw(
        self, request: HttpRequest, chosen: "QuerySet[User]", withdrawn: bool, button: str, text: str
    ) -> HttpResponse | None:
        if question := ask(self, request, chosen, title=button, text=text, button=button):
            return question
        users = [user for user in chosen[:MOST_CHOSEN] if self.has_change_permission(request, user)]
        changed = profiles.withdraw((user.pk for user in users), withdrawn)
        for user in users:
            self.log_change(request, user, "Hid the profile." if withdrawn else "Showed the profile again.")
        self.message_user(request, f"{changed} changed.", messages.SUCCESS)
        return None

    def log_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End all browser sessions; apps and players stay logged in."""
        user = self._to_change(request, object_id)
        if request.method != "POST":
            text = "Every browser of this account has to log in again. Apps and players stay in."
            return self._question(request, user, "Log out everywhere", text, "Log out everywhere")
        ended = sessions.end_sessions(user.pk)
        self.log_change(request, user, "Logged out everywhere.")
        self.message_user(request, f"{ended} sessions ended.", messages.SUCCESS)
        return redirect("admin:accounts_user_change", user.pk)

    def reset_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a link that sets a new password, once. The log records who made it, but not the link."""
        user = self._to_change(request, object_id)
        if not user.is_active:
            self.message_user(request, "This account is switched off: no link opens it.", messages.ERROR)
            return redirect("admin:accounts_user_change", user.pk)
        text = "Whoever has the link sets a new password and so gets into the account: once, within 24 hours."
        if request.method != "POST":
            return self._question(request, user, "Make a reset link", text, "Make the link")
        self.log_change(request, user, "Made a reset link.")
        link = recovery.reset_link(user, timezone.now())
        page = self._question(request, user, "Reset link", RESET_LINK, "", link=link)
        page["Referrer-Policy"] = "no-referrer"
        return page

    def _to_change(self, request: HttpRequest, object_id: str) -> User:
        user = self._of(object_id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        return user

    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Erase an account as its listener would, once its name has been typed."""
        user = self._of(object_id)
        if not self.has_erase_permission(request, user):
            raise PermissionDenied
        typed = request.POST.get("name", "")
        if request.method == "POST" and typed.strip() == user.username:
            return self._erase(request, user)
        text = "Everything of this account goes for good, from every store, and nobody can bring it back."
        fault = "This is not the user name." if request.method == "POST" else ""
        more = {"wanted": user.username, "typed": typed, "fault": fault, "counts": self._counts(user)}
        return self._question(request, user, "Erase an account", text, "Erase for good", **more)

    def _counts(self, user: User) -> list[tuple[str, int]]:
        self.prepare([user])
        return [
            ("Apps", self.apps(user)),
            ("App passwords", self.passwords(user)),
            ("Play tokens", self.players(user)),
        ]

    def _erase(self, request: HttpRequest, user: User) -> HttpResponse:
        name, user_id = user.username, user.pk
        erasure.begin(user_id, timezone.now())
        try:
            erasure.complete(user_id, erase_history)
        except Exception as failure:
            if not is_outage(failure):
                raise
            logger.warning("An erasure was interrupted, and goes on later: %s", type(failure).__name__)
            message, level = (
                f"The account {name} is closed; it is erased once every store answers.",
                messages.WARNING,
            )
        else:
            message, level = f"The account {name} was erased.", messages.SUCCESS
        # the entry in the administrators' log names nobody: nothing of the account may stay
        by: Any = request.user.pk
        LogEntry.objects.create(
            user_id=by,
            content_type=ContentType.objects.get_for_model(User),
            object_repr="an account",
            action_flag=DELETION,
            change_message=ERASED,
        )
        self.message_user(request, message, level)
        return redirect("admin:accounts_user_changelist")

    def _question(
        self, request: HttpRequest, user: User, title: str, text: str, button: str, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "user_asked": user,
            "back": "../change/",
            "title": title,
            "text": text,
            "button": button,
            **more,
        }
        return TemplateResponse(request, "admin/question.html", context)

    def _of(self, object_id: str) -> User:
        return get_object_or_404(User, pk=unquote(object_id))


def by_id(text: str) -> UUID | None:
    """Return the user id that was searched for; None where the text is not an id."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_superuser
