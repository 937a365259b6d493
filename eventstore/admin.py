"""What the pages of the administration are made of: nothing to change, nothing counted whole, questions
before what cannot be taken back."""

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

# rows of a list that pages lead to; whoever wants others searches
MOST_LISTED: Final = 5_000
# an action asks about each of them by name
MOST_CHOSEN: Final = 200


class ReadOnly:
    """Permissions of an admin page on which nothing can be done."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class BoundedPaginator(AnyPaginator):
    """Counts no further than ``MOST_LISTED``, so that a table of millions costs as much as a small one."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_LISTED].count())


class PreparedList(ChangeList):
    """Lets the page read at once what its rows show of other tables and stores."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        admin: Any = self.model_admin
        admin.prepare(rows)
        self.result_list = rows


class Bounded:
    """A list of a table that may be large: bounded, in one order that an index has, found by no other lookup
    than its own filters."""

    heading = ""  # in place of the model's name
    about = ""  # a sentence below the heading
    show_facets = ShowFacets.NEVER  # they count
    most_listed = MOST_LISTED
    paginator: ClassVar[Any] = BoundedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    sortable_by: ClassVar[Any] = ()
    list_filter: ClassVar[Any] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PreparedList

    def prepare(self, rows: list[Any]) -> None:
        """Set on each of the rows of a page what its columns read of elsewhere."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # ?data__contains= would read what no page shows
        return lookup.removesuffix("__exact") in self.list_filter


def ask(
    admin: "ModelAdmin[Any]", request: HttpRequest, chosen: Any, *, title: str, text: str, button: str
) -> TemplateResponse | None:
    """The question before an action on the rows ``chosen``; None where it was answered with yes."""
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
    """For a column of the administration: how long ago something was."""
    return "never" if at is None else f"{timesince(at, now, depth=1)} ago"


def moment(at: datetime | None) -> str:
    """For a column of the administration: a time in UTC, to the minute."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
