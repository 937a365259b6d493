"""Building blocks of the administration pages: read-only, without full counts, and with a confirmation before
what cannot be undone."""

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib.admin import ModelAdmin, ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.timesince import timesince

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

# rows of a list that can be reached by paging; others must be searched for
MOST_LISTED: Final = 5_000
# most rows for one action, because its confirmation lists each of them by name
MOST_CHOSEN: Final = 200


class ReadOnly:
    """Permissions of a read-only admin page."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class BoundedPaginator(AnyPaginator):
    """A paginator that counts no further than ``MOST_LISTED``, so that a table of millions costs no more than
    a small one."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_LISTED].count())


class PreparedList(ChangeList):
    """A list that lets the page read, in one go, what its rows show from other tables and stores."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        admin: Any = self.model_admin
        admin.prepare(rows)
        self.result_list = rows


class Bounded:
    """A list of a table that may be large: bounded, in a single order that an index supports, and filtered by
    its own filters only."""

    heading = ""  # replaces the model's name
    about = ""  # a sentence below the heading
    show_facets = ShowFacets.NEVER  # facets count rows
    most_listed = MOST_LISTED
    paginator: ClassVar[Any] = BoundedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    sortable_by: ClassVar[Any] = ()
    list_filter: ClassVar[Any] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PreparedList

    def prepare(self, rows: list[Any]) -> None:
        """Set on each row of a page what its columns show from elsewhere."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # otherwise ?data__contains= would reveal what no page shows
        return lookup.removesuffix("__exact") in self.list_filter


def ask(
    admin: "ModelAdmin[Any]", request: HttpRequest, chosen: Any, *, title: str, text: str, button: str
) -> TemplateResponse | None:
    """Return the confirmation page of an action on the rows ``chosen``, or None where it was confirmed."""
    if request.POST.get("confirmed") == "yes":
        return None
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "text": text,
        "button": button,
        "action": request.POST.get("action", ""),
        "checkbox": ACTION_CHECKBOX_NAME,
        "rows": list(chosen[:MOST_CHOSEN]),
    }
    return TemplateResponse(request, "admin/question.html", context)


def ago(at: datetime | None, now: datetime) -> str:
    """Format for an admin column how long ago something was."""
    return "never" if at is None else f"{timesince(at, now, depth=1)} ago"


def moment(at: datetime | None) -> str:
    """Format a time for an admin column: in UTC, to the minute."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
