"""Events in the Django admin: to look at, never to change."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from eventstore.models import StoredEvent

if TYPE_CHECKING:
    EventAdmin = admin.ModelAdmin[StoredEvent]
else:
    EventAdmin = admin.ModelAdmin


@admin.register(StoredEvent)
class StoredEventAdmin(EventAdmin):
    list_display = ("position", "stream", "version", "type", "recorded_at")
    list_filter = ("type",)
    ordering = ("-position",)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
