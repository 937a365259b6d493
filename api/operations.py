"""What a view's method takes and gives: declared once, checked on every request, described in OpenAPI."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.http.response import HttpResponseBase
from msgspec import Struct
from rest_framework.request import Request

from api.answers import consume_jti
from api.parameters import read_query
from api.validation import validate

KIB, MIB = 1024, 1024 * 1024
# One play or subscription is a few hundred bytes; the longest feed and item together are 8 KB.
SMALL = 256 * KIB

Handler = Callable[..., HttpResponseBase]


class Operation(NamedTuple):
    """``errors``: statuses beside those of all. ``bodiless``: the body may be left out. ``once``: a token
    with a ``jti`` is accepted once. ``largest``: bytes of the body."""

    summary: str
    description: str
    answers: Mapping[int, type[Struct]]
    path: type[Struct] | None
    query: type[Struct] | None
    body: type[Struct] | None
    errors: tuple[int, ...]
    notes: Mapping[int, str]
    bodiless: bool
    once: bool
    largest: int
    most_entries: int | None


def operation(
    summary: str,
    *,
    answers: Mapping[int, type[Struct]],
    errors: tuple[int, ...] = (),
    notes: Mapping[int, str] | None = None,
    bodiless: bool = False,
    once: bool = False,
    largest: int = SMALL,
    most_entries: int | None = None,
) -> Callable[[Handler], Handler]:
    """Declare a view's method. Its arguments ``path``, ``query`` and ``body``, if any, are structs, which it
    gets checked and normalised; its docstring becomes the description."""

    def declare(handler: Handler) -> Handler:
        structs = {name: handler.__annotations__.get(name) for name in ("path", "query", "body")}
        declared = Operation(
            summary=summary,
            description=" ".join((handler.__doc__ or "").split()),
            answers=answers,
            errors=errors,
            notes=notes or {},
            bodiless=bodiless,
            once=once,
            largest=largest,
            most_entries=most_entries,
            **structs,
        )

        @functools.wraps(handler)
        def handle(view: Any, request: Request, **names: str) -> HttpResponseBase:
            return handler(view, request, **_arguments(view, request, names))

        handle.operation = declared  # type: ignore[attr-defined]
        return handle

    return declare


def operation_of(view: Any, method: str | None) -> Operation | None:
    """What was declared for this method of a view; None for views and methods that declare nothing."""
    declared = getattr(getattr(view, str(method).lower(), None), "operation", None)
    return None if declared is None else view.describe(declared)


def _arguments(view: Any, request: Request, names: dict[str, str]) -> dict[str, Any]:
    """Raises ``Invalid`` and whatever is wrong with the body or the token."""
    declared = operation_of(view, request.method)
    assert declared is not None
    arguments: dict[str, Any] = {}
    if declared.path is not None:
        arguments["path"] = validate(declared.path, names)
    if declared.query is not None:
        arguments["query"] = read_query(declared.query, request._request.GET)
    if declared.body is not None:
        arguments["body"] = request.data
    if declared.once:
        consume_jti(request)
    return arguments
