"""Every URL of the instance."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from api import nextcloud
from api.gpodder import urls as gpodder
from balados import metrics, portability

urlpatterns: list[URLPattern | URLResolver] = [
    path("metrics", metrics.metrics),
    path("admin/", admin.site.urls),
    path("api/", include("api.urls")),
    # subscription lists at the addresses where podcast apps ask for them, beside the pages
    path("", include(gpodder.root)),
    path("", include(nextcloud)),
    path("", include("playgateway.urls")),
    path("", include("accounts.urls")),
    path("settings/data", portability.data, name="data"),
    path("settings/data/export.json", portability.take_out),
    path("", include("web.urls")),
]

# these error pages distinguish an unavailable store from a bug of ours
handler400 = "web.errors.bad_request"
handler500 = "web.errors.server_error"
