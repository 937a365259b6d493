"""The administration's site: what it is called, how it is grouped, and what its first page tells."""

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

# what Django's pages raise for ids and lookups that cannot be: ?username__regex=( or ?date_joined__year=99999
UNANSWERABLE = (
    *(DataError, ProgrammingError, ValidationError),
    *(ValueError, TypeError, LookupError, ArithmeticError),
)
# What stands under which heading, in this order. A model that is in none comes last, under its app's name.
GROUPS: Final = {
    "People": ("accounts.User", "admin.LogEntry", "axes.AccessAttempt", "auth.Group"),
    "Access": ("accounts.AppGrant", "accounts.AppPassword", "accounts.PlayToken"),
    "Podcasts": ("feeds.Feed", "feeds.EnrichedPodcast", "feeds.Category"),
    "The machine": (
        *("eventstore.StoredEvent", "projections.DeadLetter", "projections.ProjectorPosition"),
        *("projections.PublicEvent", "projections.PodcastPopularity", "projections.EpisodePopularity"),
    ),
}
Found = dict[str, Any]  # an app or a model, as Django's templates take them


class Administration(AdminSite):
    """Django's, grouped by what people do; a question that has no answer is 400 and no fault of ours."""

    site_header = site_title = "Balados"
    index_title = "Administration"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return view(request, *args, **kwargs)
            except UNANSWERABLE:
                if not (request.GET or args or kwargs):
                    raise
                # whole: should it be a fault of ours all the same, it is not lost
                logger.warning("400 in the administration", exc_info=True)
                raise BadRequest("This page knows no answer to that.") from None

        return super().admin_view(checked, cacheable)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [path("stores/", self.admin_view(self.stores), name="stores"), *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The groups, each as Django has an app; of one app where its own page asks for it."""
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
        """With how the instance is doing, for whoever may do everything."""
        told = {"sections": dashboard.report(timezone.now())} if _is_superuser(request) else {}
        return super().index(request, {**told, **(extra_context or {})})

    def stores(self, request: HttpRequest) -> HttpResponse:
        """What ``manage.py store_status`` tells."""
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


def _others(app: Found, named: set[str]) -> list[Found]:
    return [model for model in app["models"] if _label(app, model) not in named]


def _group(name: str, models: list[Found]) -> Found:
    return {"name": name, "app_label": name.lower().replace(" ", "-"), "app_url": "", "models": models}


def _link(name: str, address: str) -> Found:
    """A page that shows no model."""
    return {"name": name, "object_name": name, "admin_url": address, "add_url": None, "view_only": True}
