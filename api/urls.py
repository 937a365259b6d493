"""The API, below /api/."""

from importlib import import_module

from django.urls import URLPattern, URLResolver, include, path, re_path

from api import documents
from api.gpodder import urls as gpodder
from api.v1 import (
    apps,
    events,
    export,
    feeds,
    live,
    me,
    opml,
    proxy,
    public,
    removals,
    search,
    statistics,
    supplements,
    sync,
    tokens,
    undo,
)
from api.views import Unknown
from eventstore.domain.topics import TOPICS

v1 = [
    *me.paths,
    # before the topics, because their paths match a feed together with all that follows it
    *feeds.paths,
    *opml.paths,
    *(one for topic in TOPICS for one in import_module(f"api.v1.{topic.name}").paths),
    *events.paths,
    *undo.paths,
    *export.paths,
    *sync.paths,
    *apps.paths,
    *tokens.paths,
    *removals.paths,
    *public.paths,
    *proxy.paths,
    *supplements.paths,
    *search.paths,
    *live.paths,
    *statistics.paths,
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(v1)),
    path("2/", include(gpodder.version_2)),
    path("1/", include(gpodder.version_1)),
    *documents.paths,
    re_path("", Unknown.as_view()),
]
