"""The host ``PLAY_DOMAIN``: episodes' files, and nothing of the main host."""

from django.urls import URLPattern, URLResolver, path, re_path

from playgateway import gateway, personal

urlpatterns: list[URLPattern | URLResolver] = [
    path("play/<str:token>/<path:path>", gateway.play),
    path("<str:token>/<path:path>", gateway.play),
    re_path("", personal.nothing),
]
