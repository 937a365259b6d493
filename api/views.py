"""What the views of the API have in common, on top of REST framework's own."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, BinaryIO, ClassVar, Final, TypeVar, cast

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from api.errors import NO_ADDRESS, Invalid
from api.operations import operation_of
from api.renderers import JsonRenderer
from api.throttles import AddressLimit
from api.validation import validate

RENDERER = JsonRenderer()
# Key in META, which no header can set: why a shortcut does not know whether it has recorded the request,
# which must therefore not be recorded again.
FAILURE: Final = "balados.failure"
T = TypeVar("T")


@cache
def _made(classes: tuple[type[T], ...]) -> list[T]:
    """Return one instance of each class, shared by all requests, as they keep no state."""
    return [each() for each in classes]


# for each view, the methods that it has, as the header Allow lists them
_allowed: dict[type[APIView], str] = {}


class View(APIView):
    """A view that declares which scope each of its methods needs (api/auth.py)."""

    public: ClassVar[bool] = False
    scopes: ClassVar[Mapping[str, str]] = {}
    # no address has a format suffix such as .json
    format_kwarg = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return the header Allow, which is the same for every request."""
        view = type(self)
        if view not in _allowed:
            _allowed[view] = ", ".join(self.allowed_methods)
        return {"Allow": _allowed[view]}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Return the only format."""
        return RENDERER, RENDERER.media_type

    def get_authenticators(self) -> list[BaseAuthentication]:
        return _made(tuple(self.authentication_classes))

    def get_parsers(self) -> list[BaseParser]:
        return _made(tuple(self.parser_classes))

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        made = super().initialize_request(request, *args, **kwargs)
        # REST framework takes a chunked body for an empty one; our parser reads it (api/parsers.py)
        made._stream = cast(BinaryIO, request)
        return made

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Do REST framework's steps, but check limits before scopes: requests refused for their scope count,
        too."""
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        self.perform_authentication(request)
        self.check_throttles(request)
        self.check_permissions(request)
        if (failure := request._request.META.get(FAILURE)) is not None:
            raise failure

    def http_method_not_allowed(self, request: Any, *args: Any, **names: str) -> Response:
        """Answer 404 instead of 405 for a path that is invalid for every method. Identifiers are matched
        including their slashes, so that ``subscriptions/{feed}/nothing`` arrives here too."""
        for method in self.allowed_methods:
            declared = operation_of(self, method)
            if declared is not None and declared.path is not None:
                try:
                    validate(declared.path, names)
                except Invalid:
                    raise NotFound from None
        return super().http_method_not_allowed(request, *args, **names)

    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        """List the available methods in Allow. The gate answers CORS preflights."""
        return Response(status=204)


class PublicView(View):
    """A view open to everybody, without authentication, whose requests are counted by address."""

    public = True
    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes: Sequence[Any] = ()
    throttle_classes: Sequence[type[BaseThrottle]] = (AddressLimit,)


class Unknown(PublicView):
    """Any address that the API does not have: 404 in the API's shape, whatever the method."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(NO_ADDRESS)
