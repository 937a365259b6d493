"""Answers the requests that commands stand for, by the API's own gate and views, in this thread."""

from collections.abc import Callable
from typing import Final

from django.core import signals
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from live.commands import Environment, Response

# of the API alone: the pages, and what they need, are not loaded
URLS: Final = "live.urls"
Answer = Callable[[HttpRequest], HttpResponseBase]


class Responder:
    """``answer``: what a request of the web process goes through as well."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __call__(self, environment: Environment) -> Response:
        signals.request_started.send(sender=self.__class__, environ=environment)
        request = WSGIRequest(environment)
        request.urlconf = URLS
        response = self._answer(request)
        try:
            assert isinstance(response, HttpResponse)  # none of these streams
            headers = {name.lower(): value for name, value in response.items()}
            return Response(response.status_code, headers, response.content)
        finally:
            response.close()
