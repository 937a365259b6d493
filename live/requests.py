"""Answers the requests that commands stand for with the API's own views, in the calling thread."""

from collections.abc import Callable
from typing import Final

from django.core import signals
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from live.commands import Environment, Response

# URLs of the API only, so that the pages and what they need are not loaded
URLS: Final = "live.urls"
Answer = Callable[[HttpRequest], HttpResponseBase]


class Responder:
    """Runs a request. ``answer``: the handler that requests of the web process go through as well."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __call__(self, environment: Environment) -> Response:
        signals.request_started.send(sender=self.__class__, environ=environment)
        request = WSGIRequest(environment)
        request.urlconf = URLS
        response = self._answer(request)
        try:
            assert isinstance(response, HttpResponse)  # none of these responses is streamed
            headers = {name.lower(): value for name, value in response.items()}
            return Response(response.status_code, headers, response.content)
        finally:
            response.close()
