"""The administration of people, their apps and the tokens of their players."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.http import HttpRequest

from accounts import pseudonyms
from accounts.models import AppGrant, PlayToken, User
from eventstore.admin import ReadOnly

# what makes an administrator: only a superuser hands it out, or a helper could promote himself
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class NewUserForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email")


class ChangedUserForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email", "is_active", *POWERS)


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    form = ChangedUserForm
    add_form = NewUserForm
    list_display = ("username", "email", "is_active", "is_staff", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email")
    ordering = ("username_key",)
    readonly_fields = ("id", "name_in_logs", "date_joined", "last_login", "switched_off_at")
    fieldsets = (
        (None, {"fields": ("username", "email", "password", "is_active")}),
        ("Powers", {"fields": POWERS}),
        ("Facts", {"fields": ("id", "name_in_logs", "date_joined", "last_login", "switched_off_at")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)

    @admin.display(description="name in the logs")
    def name_in_logs(self, user: User) -> str:
        return pseudonyms.of(user.pk)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return self.readonly_fields if _is_superuser(request) else (*self.readonly_fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and obj.is_superuser and not _is_superuser(request):
            return False  # whoever sets a superuser's password is one
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # what a user did is in the event store too: deleting the row would leave it behind


TIMES = ("created_at", "updated_at", "last_used_at")


class Revocable(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """What a user has given out: to look at and to revoke, which deletes it."""

    actions = ("delete_selected",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    # Django's confirmation comes back under this name
    @admin.action(permissions=["delete"], description="Revoke the chosen ones")
    def delete_selected(self, request: HttpRequest, chosen: Any) -> Any:
        return delete_selected(self, request, chosen)

    def log_deletions(self, request: HttpRequest, revoked: Any) -> Any:
        """As changes of the users: an erasure finds what names them."""
        for one in revoked:
            message = f"Revoked: {one._meta.verbose_name} {one}"
            by: Any = request.user.pk
            LogEntry.objects.log_actions(by, [one.user], CHANGE, message, single_object=True)


@admin.register(AppGrant)
class AppGrantAdmin(Revocable):
    list_display = ("name", "app_id", "user", "scope_list", "key", "updated_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("name", "app_id", "user__username")
    fields = ("user", "app_id", "name", "url", "image", "scope_list", "key", *TIMES)

    @admin.display(description="scopes")
    def scope_list(self, grant: AppGrant) -> str:
        return ", ".join(grant.scopes)

    @admin.display(description="key fingerprint")
    def key(self, grant: AppGrant) -> str:
        return f"{grant.fingerprint[:16]}…"


@admin.register(PlayToken)
class PlayTokenAdmin(Revocable):
    list_display = ("name", "beginning", "user", "created_at", "expires_at", "last_used_at", "plays")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    fields = ("user", "name", "beginning", "lists", "created_at", "expires_at", "last_used_at", "plays")

    @admin.display(description="token")
    def beginning(self, token: PlayToken) -> str:
        return f"{token.prefix}…"


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_superuser
