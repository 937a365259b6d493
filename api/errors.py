"""Errors as they go out: one shape for all of them, and one place that knows which status means what.

``{"type", "errors": [{"code", "detail", "attr"}]}``, the shape of drf-standardized-errors.
"""

import logging
from typing import Any

import msgspec
from django.core.exceptions import DisallowedHost, RequestDataTooBig, SuspiciousOperation
from django.http import HttpResponse, UnreadablePostError
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import Error
from rest_framework import exceptions

from accounts.jwt import TokenError
from api.auth import CHALLENGE, unauthenticated
from api.faults import Fault
from eventstore.dispatcher import CommandIdReused, Conflict, DomainError, StreamErased, StreamUnreadable
from eventstore.streams import Busy
from projections.failures import in_maintenance, is_outage
from projections.queries import Behind, InvalidCursor

logger = logging.getLogger(__name__)

# Seconds after which to try again: a projector is milliseconds behind as a rule, a store restarts in seconds,
# and an unreadable event waits for its operator.
SOON, LATER, MUCH_LATER = 1, 5, 60
# a store is copied at some 100,000 events a second
IN_MAINTENANCE = 15
MAINTENANCE_DETAIL = (
    "This instance is in maintenance and records nothing for now; reading goes on. Try again later."
)


class Invalid(exceptions.ValidationError):
    """400 with every fault and its place."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__()
        self.faults = faults


class Malformed(exceptions.ParseError):
    """400 as a whole: not the JSON, the path or the header that it should be."""

    def __init__(self, detail: str, code: str = "parse_error") -> None:
        super().__init__(detail, code)


class TooLarge(exceptions.APIException):
    """413; names the limit."""

    status_code = 413
    default_code = "too_large"


class Refused(exceptions.APIException):
    """422: understood, but the rules of the domain are against it."""

    status_code = 422


class Contended(exceptions.APIException):
    status_code = 409
    default_code = "conflict"
    default_detail = "Other writes came first every time. Send it again."


class Unavailable(exceptions.APIException):
    """503; ``wait`` becomes Retry-After."""

    status_code = 503
    default_code = "unavailable"
    default_detail = "A store of this instance is away. Try again later."

    def __init__(self, wait: int, detail: str | None = None, code: str | None = None) -> None:
        super().__init__(detail, code)
        self.wait = wait


def error_response(status: int, code: str, detail: str, attr: str | None = None) -> HttpResponse:
    """An error made where there is no view."""
    kind = "server_error" if status >= 500 else "client_error"
    body = {"type": kind, "errors": [{"code": code, "detail": detail, "attr": attr}]}
    return HttpResponse(msgspec.json.encode(body), content_type="application/json", status=status)


def known(error: Exception) -> Exception:
    """An error of the layers below as what it means to a caller; others as they are."""
    match error:
        case DomainError():
            return Refused(error.detail, error.code)
        case CommandIdReused():
            detail = "This Idempotency-Key stands for another request."
            return Refused(detail, "idempotency_key_reused")
        case Conflict():
            return Contended()
        case StreamErased():
            # the account is gone: the words that every token of nobody gets (accounts.grants.authenticate)
            detail = "The token is not valid for any user and app."
            return exceptions.AuthenticationFailed(detail, "not_authenticated")
        case TokenError():
            return unauthenticated(error)
        case Behind():
            detail = f"The read model is at position {error.reached}. Try again."
            return Unavailable(SOON, detail, "behind")
        case Busy():
            return Unavailable(SOON, "Another request of this user takes long. Try again.", "busy")
        case StreamUnreadable():
            return Unavailable(MUCH_LATER, "The history of this user cannot be read now.", "unreadable")
        case InvalidCursor():
            return Invalid([Fault("invalid", "Not a cursor of this list.", "cursor")])
        case RequestDataTooBig():
            return TooLarge("The body is too large.")
        case DisallowedHost():
            return Malformed("This instance has another name.", "disallowed_host")
        case SuspiciousOperation() | UnreadablePostError():
            return Malformed("The request cannot be read.", "bad_request")
    if in_maintenance(error):
        return Unavailable(IN_MAINTENANCE, MAINTENANCE_DETAIL, "maintenance")
    return Unavailable(LATER) if is_outage(error) else error


class Formatter(ExceptionFormatter):
    def get_errors(self) -> list[Error]:
        if isinstance(self.exc, Invalid):
            return [Error(fault.code, fault.detail, fault.attr) for fault in self.exc.faults]
        errors: list[Error] = super().get_errors()
        return errors


class Handler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        error = known(super().convert_known_exceptions(exc))
        if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            error.auth_header = CHALLENGE  # type: ignore[union-attr]
        return error

    def format_exception(self, exc: exceptions.APIException) -> Any:
        return Formatter(exc, self.context, self.exc).run()

    def get_response(  # type: ignore[override]
        self, exc: exceptions.APIException, data: Any
    ) -> HttpResponse:
        return HttpResponse(
            msgspec.json.encode(data),
            content_type="application/json",
            status=exc.status_code,
            headers=self.get_headers(exc),
        )

    def report_exception(self, exc: exceptions.APIException, response: Any) -> None:
        if exc.status_code == Unavailable.status_code:
            # expected while a store restarts: a line, not a traceback for every request
            logger.warning("503 %s: %s", exc.get_codes(), type(self.exc).__name__)
            return
        super().report_exception(exc, response)


def exception_handler(exc: Exception, context: Any) -> HttpResponse | None:
    """What REST framework calls (settings.REST_FRAMEWORK)."""
    response: HttpResponse | None = Handler(exc, context).run()
    return response
