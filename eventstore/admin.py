"""Events in the Django admin: to look at, never to change."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from eventstore.models import StoredEvent

if TYPE_CHECKING:
    EventAdmin = admin.ModelAdmin[StoredEvent]
else:
    EventAdmin = admin.ModelAdmin


class ReadOnly:
    """Permissions of an admin page on which nothing can be done."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(StoredEvent)
class StoredEventAdmin(ReadOnly, EventAdmin):
    list_display = ("position", "stream", "version", "type", "recorded_at")
    list_filter = ("type",)
    ordering = ("-position",)
    show_full_result_count = False
