"""The categories of podcasts: those that came with the program to look at, the operator's own to change."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import connections
from django.db.models import ForeignKey
from django.forms import ModelChoiceField
from django.http import HttpRequest

from feeds.models import Category

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Category]
else:
    Admin = admin.ModelAdmin


@admin.register(Category)
class CategoryAdmin(Admin):
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
        # two levels: what is below another has nothing below itself
        return super().formfield_for_foreignkey(
            db_field, request, **kwargs, queryset=Category.objects.filter(parent=None)
        )


def _may_write() -> bool:
    """Whether the role in the URL may: one for web alone may not (operations/grants.py)."""
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('system.categories', 'INSERT')")
        return bool(cursor.fetchone()[0])


def _is_own(category: Category | None) -> bool:
    """The next ``seed_up`` undoes what was changed in any other."""
    return category is None or not category.seeded
