"""URLs of the requests that commands stand for."""

from django.urls import include, path

urlpatterns = [path("api/", include("api.urls"))]
