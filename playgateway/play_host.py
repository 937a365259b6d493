"""URLs of the host ``PLAY_DOMAIN``: the files of episodes, and nothing of the main host."""

from django.urls import URLPattern, URLResolver, path, re_path

from playgateway import gateway, personal

urlpatterns: list[URLPattern | URLResolver] = [
    path("play/<str:token>/<path:path>", gateway.play),
    path("<str:token>/<path:path>", gateway.play),
    re_path("", personal.nothing),
]
