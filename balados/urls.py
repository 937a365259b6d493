"""Every address of the instance."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from balados import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/live", health.live),
    path("admin/", admin.site.urls),
    path("api/", include("api.urls")),
    path("", include("web.urls")),
]
