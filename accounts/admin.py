"""Admin pages for the access that listeners have granted (apps, play tokens, app passwords) and for failed
log-ins."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest
from django.utils import timezone

from accounts.app_models import AppPassword
from accounts.models import AppGrant, PlayToken
from eventstore.admin import Bounded, ReadOnly, ago, moment

TIMES = ("created_at", "updated_at", "last_used_at")


class Revocable(ReadOnly, Bounded, admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of access that users have granted: it can be viewed, and revoked by deleting it."""

    actions = ("delete_selected",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    @admin.display(description="last used")
    def used(self, row: Any) -> str:
        return ago(row.last_used_at, timezone.now())

    # Django's confirmation page posts to the action of this name
    @admin.action(permissions=["delete"], description="Revoke the selected ones")
    def delete_selected(self, request: HttpRequest, chosen: Any) -> Any:
        return delete_selected(self, request, chosen)

    def log_deletions(self, request: HttpRequest, revoked: Any) -> Any:
        """Log each deletion as a change of its user, so that an erasure finds the entries about it."""
        for one in revoked:
            message = f"Revoked: {one._meta.verbose_name} {one}"
            by: Any = request.user.pk
            LogEntry.objects.log_actions(by, [one.user], CHANGE, message, single_object=True)


@admin.register(AppGrant)
class AppGrantAdmin(Revocable):
    about = "What each app may do, and for whom. Revoking is immediate; the listener may grant access again."
    list_display = ("name", "app_id", "user", "scope_list", "key", "at", "used")
    ordering = ("-pk",)
    list_select_related = ("user",)
    search_fields = ("name", "app_id", "user__username")
    fields = ("user", "app_id", "name", "url", "image", "scope_list", "key", *TIMES)

    @admin.display(description="changed")
    def at(self, grant: AppGrant) -> str:
        return moment(grant.updated_at)

    @admin.display(description="scopes")
    def scope_list(self, grant: AppGrant) -> str:
        return ", ".join(grant.scopes)

    @admin.display(description="key fingerprint")
    def key(self, grant: AppGrant) -> str:
        return f"{grant.fingerprint[:16]}…"


@admin.register(PlayToken)
class PlayTokenAdmin(Revocable):
    about = "Players without an account here use them to open feeds and play. Only their beginning is known."
    list_display = ("name", "beginning", "user", "at", "expires", "used", "plays")
    ordering = ("-pk",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    fields = ("user", "name", "beginning", "lists", "created_at", "expires_at", "last_used_at", "plays")

    @admin.display(description="created")
    def at(self, token: PlayToken) -> str:
        return moment(token.created_at)

    @admin.display(description="expires")
    def expires(self, token: PlayToken) -> str:
        return moment(token.expires_at) or "never"

    @admin.display(description="token")
    def beginning(self, token: PlayToken) -> str:
        return f"{token.prefix}…"


@admin.register(AppPassword)
class AppPasswordAdmin(Revocable):
    about = "For apps that use the gpodder protocol, one for each. Revoking one logs its app out at once."
    list_display = ("called", "user", "at", "used")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    ordering = ("-made_at", "-id")
    fields = ("user", "name", "at", "used")
    readonly_fields = ("at", "used")

    @admin.display(description="app")
    def called(self, password: AppPassword) -> str:
        return password.name or "not used yet"

    @admin.display(description="created")
    def at(self, password: AppPassword) -> str:
        return moment(password.made_at)

    @admin.display(description="last used")
    def used(self, row: Any) -> str:
        return ago(row.used_at, timezone.now())


@admin.register(AccessAttempt)
class LogInAttemptAdmin(Revocable):
    """Admin page of failed log-ins. Deleting one lets its name and address try again."""

    heading = "Failed log-ins"
    about = "Failed log-ins that count. Deleting one lets its name and address try again at once."
    list_display = ("at", "username", "ip_address", "failures_since_start", "user_agent")
    search_fields = ("username", "ip_address")
    ordering = ("-attempt_time",)
    fields = ("attempt_time", "username", "ip_address", "failures_since_start", "user_agent", "path_info")

    @admin.display(description="last attempt")
    def at(self, attempt: AccessAttempt) -> str:
        return moment(attempt.attempt_time)

    @admin.action(permissions=["delete"], description="Let them try again")
    def delete_selected(self, request: HttpRequest, chosen: Any) -> Any:
        return delete_selected(self, request, chosen)

    def log_deletions(self, request: HttpRequest, revoked: Any) -> Any:
        """Log nothing: the names in failed log-ins must not be copied to another log."""
