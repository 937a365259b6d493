"""Error responses: one shape for all of them, and one place that knows which status means what.

The shape is that of drf-standardized-errors: ``{"type", "errors": [{"code", "detail", "attr"}]}``.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.tokens import TokenError
from api.auth import CHALLENGE
from api.throttles import FailureLimit
from eventstore.dispatcher import CommandIdReused, Conflict, DomainError, StreamErased, StreamUnreadable
from projections.failures import in_maintenance, is_outage
from projections.queries import Behind, InvalidCursor

logger = logging.getLogger(__name__)

# Seconds after which to try again: a projector is usually milliseconds behind, a store restarts in seconds,
# and an unreadable event needs an operator.
SOON, LATER, MUCH_LATER = 1, 5, 60
# Seconds; a store is copied at some 100,000 events a second.
IN_MAINTENANCE = 15
MAINTENANCE_DETAIL = (
    "This instance is in maintenance and records nothing for now; reading goes on. Try again later."
)
# such as an address with a slash at its end
NO_ADDRESS = "There is nothing at this address: /api/schema/ lists those that there are."
UNAUTHENTICATED: Final = (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)


class FieldError(NamedTuple):
    """What is wrong at one place of a request: ``attr`` names the place, as in
    ``play_statuses.17.position``."""

    code: str
    detail: str
    attr: str | None


class Invalid(exceptions.ValidationError):
    """400 with every error and its place."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__()
        self.errors = errors


class ApiError(exceptions.APIException):
    """An error response: ``code`` is for programs, ``detail`` for people. ``wait`` (seconds) becomes
    Retry-After."""

    def __init__(self, status: int, code: str, detail: str, wait: int | None = None) -> None:
        super().__init__(detail, code)
        self.status_code, self.wait = status, wait


class Refused(ApiError):
    """422 with more than one error: what prevents the request."""

    def __init__(self, code: str, *errors: FieldError) -> None:
        super().__init__(422, code, errors[0].detail)
        self.errors = errors


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Handle errors for REST framework (settings.REST_FRAMEWORK).

    Returns None for a bug of ours: Django logs it, and the gate (api/middleware.py) answers 500.
    """
    answer = to_api_error(error)
    if answer is None:
        return None
    if isinstance(answer, UNAUTHENTICATED):
        answer = _counted(answer, context)
    if answer.status_code == 503:
        # expected while a store restarts: log one line, not a traceback for every request
        logger.warning("503 %s: %s", answer.get_codes(), type(error).__name__)
    return Response(_body(answer), answer.status_code, headers=_headers(answer))


def error_response(status: int, code: str, detail: str) -> HttpResponse:
    """Return an error response where there is no view."""
    content = msgspec.json.encode(_shape(_kind(status), [FieldError(code, detail, None)]))
    return HttpResponse(content, content_type="application/json", status=status)


def to_api_error(error: Exception) -> exceptions.APIException | None:
    """Translate an error of the lower layers to what it means to a caller; None for a bug of ours."""
    match error:
        case exceptions.Throttled():
            return _too_many(getattr(error, "wait", None))
        case exceptions.APIException():
            return error
        case DomainError():
            return ApiError(422, error.code, error.detail)
        case CommandIdReused():
            return ApiError(422, "idempotency_key_reused", "This Idempotency-Key stands for another request.")
        case Conflict():
            return ApiError(409, "conflict", "Other writes came first every time. Send it again.")
        case StreamErased():
            # the account is gone: the same message as for any token of no user (accounts.grants.authenticate)
            detail = "The token is not valid for any user and app."
            return exceptions.AuthenticationFailed(detail, "not_authenticated")
        case TokenError():
            return exceptions.AuthenticationFailed(error.detail, error.code)
        case Behind():
            # the length of the log grows with private events too, so no position is disclosed
            return ApiError(503, "behind", "The read model has not come that far yet. Try again.", SOON)
        case StreamUnreadable():
            return ApiError(503, "unreadable", "The history of this user cannot be read now.", MUCH_LATER)
        case InvalidCursor():
            return Invalid(FieldError("invalid", "Not a cursor of this list.", "cursor"))
        case RequestDataTooBig():
            return ApiError(413, "too_large", "The body is too large.")
        case SuspiciousOperation() | UnreadablePostError():
            return ApiError(400, "bad_request", "The request cannot be read.")
        case Http404():
            return exceptions.NotFound()
    if in_maintenance(error):
        return ApiError(503, "maintenance", MAINTENANCE_DETAIL, IN_MAINTENANCE)
    if is_outage(error):
        return ApiError(503, "unavailable", "A store of this instance is away. Try again later.", LATER)
    return None


def _counted(failure: exceptions.APIException, context: dict[str, Any]) -> exceptions.APIException:
    """Return the authentication failure, or a 429 if there were too many from this address."""
    limit = FailureLimit()
    if limit.allow_request(context["request"], context["view"]):
        return failure
    return _too_many(limit.wait())


def _too_many(wait: float | None) -> ApiError:
    seconds = math.ceil(wait or 1)
    return ApiError(429, "throttled", f"Too many requests. Try again in {seconds} s.", seconds)


def _body(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, Invalid):
        return _shape("validation_error", error.errors)
    if isinstance(error, Refused):
        return _shape(_kind(error.status_code), error.errors)
    entry = FieldError(str(error.get_codes()), str(error.detail), None)
    return _shape(_kind(error.status_code), [entry])


def _shape(kind: str, errors: Sequence[FieldError]) -> dict[str, Any]:
    return {"type": kind, "errors": [error._asdict() for error in errors]}


def _kind(status: int) -> str:
    return "server_error" if status >= 500 else "client_error"


def _headers(error: exceptions.APIException) -> dict[str, str]:
    if isinstance(error, UNAUTHENTICATED):
        return {"WWW-Authenticate": CHALLENGE}
    wait = getattr(error, "wait", None)
    return {} if wait is None else {"Retry-After": str(int(wait))}
