"""The URLconf of an instance with ``WEBSUB``: the real one decides at start-up which addresses it has."""

from django.urls import include, path

from web import websub

urlpatterns = [*websub.paths, path("", include("balados.urls"))]
