"""The web process with an additional address, ``/play/constant``, which redirects without any lookup: the
play gateway is compared with it. It goes the same way as the gateway, through ``PlayGate`` and no other
middleware. It is answered by Django in a thread, as all addresses are; a player that seeks is not
(playgateway/seeking.py). ``python -m benchmarks.redirect`` serves it as balados.serve would."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from balados import serve
from playgateway import urls

PATH = "/play/constant"
LOCATION = "https://audio.example/1.mp3"


def constant(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=302, headers={"Location": LOCATION, "Content-Length": "0"})


urls.urlpatterns.insert(0, path(PATH.removeprefix("/"), constant))

if __name__ == "__main__":
    serve.run()
