"""The web process with an additional address, ``/play/constant``, which redirects without any lookup: the
play gateway is compared with it. ``python -m benchmarks.redirect`` serves it as balados.serve would."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path

from balados import serve
from balados.buffering import start

PATH = "/play/constant"
LOCATION = "https://audio.example/1.mp3"


def constant(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=302, headers={"Location": LOCATION, "Content-Length": "0"})


urlpatterns: list[URLPattern | URLResolver] = [
    path(PATH.removeprefix("/"), constant),
    path("", include("balados.urls")),
]
settings.ROOT_URLCONF = "benchmarks.redirect"

__all__ = ["start"]

if __name__ == "__main__":
    server = serve.server()
    server.target = "benchmarks.redirect:start"
    server.serve()
