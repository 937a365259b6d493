"""The addresses of an instance with ``WEBSUB``: which there are is decided when it starts."""

from django.urls import include, path

from web import websub

urlpatterns = [*websub.paths, path("", include("balados.urls"))]
