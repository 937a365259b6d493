"""What the views of the API have in common: REST framework's, without what they leave unused.

Content negotiation, parsers, renderers, versions and format suffixes are off: the API has one of each, and
they would be found anew for every request.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    NotFound,
    Throttled,
)
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from api import errors
from api.auth import GrantAuthentication, HasScope
from api.throttles import AddressLimit, FailureLimit, GrantLimit
from projections.queries import Behind

_AUTHENTICATORS: list[BaseAuthentication] = [GrantAuthentication()]
_PERMISSIONS: list[BasePermission] = [HasScope()]
_NEGOTIATOR = DefaultContentNegotiation()


class View(APIView):
    """A view says which scope each of its methods needs (api/auth.py), or that it is public."""

    public: ClassVar[bool] = False
    scopes: ClassVar[Mapping[str, str]] = {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        authenticators = [] if self.public else _AUTHENTICATORS
        return Request(request, (), authenticators, _NEGOTIATOR, {})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method == "OPTIONS":
            return
        self.perform_authentication(request)
        if request.auth is not None:
            # before the scopes: what is refused for them counts, too
            self.check_throttles(request)
        self.check_permissions(request)

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Which methods there are; what browsers ask beforehand the gate answers (api/middleware.py)."""
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def get_authenticators(self) -> list[BaseAuthentication]:
        return _AUTHENTICATORS

    def get_permissions(self) -> list[BasePermission]:
        return _PERMISSIONS

    def get_throttles(self) -> list[BaseThrottle]:
        return [] if self.public else [GrantLimit()]

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    def finalize_response(  # type: ignore[override]
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if response.status_code == 405:
            response["Allow"] = ", ".join(self.allowed_methods)
        return response

    def handle_exception(self, exc: Exception) -> HttpResponseBase:  # type: ignore[override]
        known = errors.known(exc)
        if isinstance(known, NotAuthenticated | AuthenticationFailed):
            exc = self._counted(known)
        return super().handle_exception(exc)

    def _counted(self, failure: APIException) -> APIException:
        """The failure to authenticate, or that there were too many from this address."""
        limit = FailureLimit()
        return failure if limit.allow_request(self.request, self) else Throttled(limit.wait())


class PublicView(View):
    """Open to everybody, and counted by address: nobody is asked who he is."""

    public = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method != "OPTIONS":
            self.check_throttles(request)

    def get_throttles(self) -> list[BaseThrottle]:
        return [AddressLimit()]

    def handle_exception(self, exc: Exception) -> HttpResponseBase:  # type: ignore[override]
        """How far the log is grows with what is private: that is no part of an answer."""
        if isinstance(exc, Behind):
            exc = errors.Unavailable(errors.SOON, "The read model is behind. Try again.", "behind")
        return super().handle_exception(exc)


class Unknown(View):
    """Whatever is not an address of the API: 404 in the API's shape, whatever the method."""

    public = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound
