"""The administration site: its name, how its models are grouped, and the contents of its first page."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import DataError, ProgrammingError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone

from operations import dashboard, status

logger = logging.getLogger(__name__)

# What Django's pages raise for impossible ids and lookups: ?username__regex=( or ?date_joined__year=99999
UNANSWERABLE = (
    *(DataError, ProgrammingError, ValidationError),
    *(ValueError, TypeError, LookupError, ArithmeticError),
)
# The headings and the models below each, in this order. A model that is not listed comes last, under its
# app's name.
GROUPS: Final = {
    "People": ("accounts.User", "admin.LogEntry", "axes.AccessAttempt", "auth.Group"),
    "Access": ("accounts.AppGrant", "accounts.AppPassword", "accounts.PlayToken"),
    "Podcasts": ("feeds.Feed", "feeds.EnrichedPodcast", "feeds.Category"),
    "The machine": (
        *("eventstore.StoredEvent", "projections.DeadLetter", "projections.ProjectorPosition"),
        *("projections.PublicEvent", "projections.PodcastPopularity", "projections.EpisodePopularity"),
    ),
}
Found = dict[str, Any]  # an app or a model, in the form that Django's templates take


class Administration(AdminSite):
    """Django's administration site with its models grouped by task. A request for an impossible id or lookup
    is answered with 400 instead of being logged as a server error."""

    site_header = site_title = "Balados"
    index_title = "Administration"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return view(request, *args, **kwargs)
            except UNANSWERABLE:
                if not (request.GET or "_selected_action" in request.POST or args or kwargs):
                    raise
                # with the traceback: if it is a bug of ours after all, it is not lost
                logger.warning("400 in the administration", exc_info=True)
                raise BadRequest("This page knows no answer to that.") from None

        return super().admin_view(checked, cacheable)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [path("stores/", self.admin_view(self.stores), name="stores"), *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the groups in the form of Django's apps, or a single app where ``app_label`` names one."""
        apps: list[Any] = super().get_app_list(request, app_label)
        for model in (model for app in apps for model in app["models"]):
            model["name"] = getattr(self._registry[model["model"]], "heading", "") or model["name"]
        if app_label is not None:
            return apps
        groups = [_group(name, _models(apps, labels)) for name, labels in GROUPS.items()]
        if _is_superuser(request):
            groups[-1]["models"].append(_link("Stores", reverse("admin:stores")))
        named = {label for labels in GROUPS.values() for label in labels}
        others = [
            {**app, "models": [m for m in app["models"] if _label(app, m) not in named]} for app in apps
        ]
        return [group for group in (*groups, *others) if group["models"]]

    def index(self, request: HttpRequest, extra_context: Found | None = None) -> TemplateResponse:
        """Add the state of the instance to the first page, for superusers only."""
        context = {"sections": dashboard.report(timezone.now())} if _is_superuser(request) else {}
        return super().index(request, {**context, **(extra_context or {})})

    def stores(self, request: HttpRequest) -> HttpResponse:
        """Show what ``manage.py store_status`` prints. Raises ``PermissionDenied`` unless the user is a
        superuser."""
        if not _is_superuser(request):
            raise PermissionDenied
        context = {**self.each_context(request), "title": "Stores", "report": status.report()}
        context["run"] = dashboard.worker_run()
        return TemplateResponse(request, "admin/stores.html", context)


class AdministrationConfig(AdminConfig):
    default_site = "balados.administration.Administration"


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_superuser


def _label(app: Found, model: Found) -> str:
    return f"{app['app_label']}.{model['object_name']}"


def _models(apps: list[Found], labels: tuple[str, ...]) -> list[Found]:
    known = {_label(app, model): model for app in apps for model in app["models"]}
    return [known[label] for label in labels if label in known]


def _group(name: str, models: list[Found]) -> Found:
    return {"name": name, "app_label": name.lower().replace(" ", "-"), "app_url": "", "models": models}


def _link(name: str, address: str) -> Found:
    """An entry of the index for a page that belongs to no model."""
    return {"name": name, "object_name": name, "admin_url": address, "add_url": None, "view_only": True}
