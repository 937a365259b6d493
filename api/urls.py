"""The API, below /api/."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from api import documents
from api.v1 import (
    apps,
    collections,
    events,
    export,
    me,
    playlists,
    plays,
    privacy,
    public,
    removals,
    saved,
    subscriptions,
    sync,
    tokens,
)
from api.views import Unknown

v1 = [
    *me.paths,
    *subscriptions.paths,
    *plays.paths,
    *saved.paths,
    *playlists.paths,
    *collections.paths,
    *privacy.paths,
    *events.paths,
    *export.paths,
    *sync.paths,
    *apps.paths,
    *tokens.paths,
    *removals.paths,
    *public.paths,
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(v1)),
    *documents.paths,
    re_path("", Unknown.as_view()),
]
