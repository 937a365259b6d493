"""What a view's method takes and gives: declared once, checked on every request, described in OpenAPI."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import msgspec
from django.http.response import HttpResponseBase
from msgspec import Struct
from rest_framework.request import Request

from api.answers import consume_jti
from api.parameters import read_query
from api.validation import validate

KIB, MIB = 1024, 1024 * 1024
# One play or subscription is a few hundred bytes; the longest feed and item together are 8 KB.
SMALL = 256 * KIB


class RawBody(Struct):
    """A body, or an answer, that is no JSON but bytes of one of these types. Subclasses name them."""

    media_types: ClassVar[tuple[str, ...]] = ()

    raw: bytes
    content_type: str


Handler = Callable[..., HttpResponseBase]


class Operation(NamedTuple):
    """``notes``: what an answer's status means here. ``errors``: statuses of this operation alone.
    ``bodiless``: the body may be left out. ``once``: a token with a ``jti`` is accepted once. ``largest``:
    bytes of the body."""

    summary: str
    answers: Mapping[int, type[Struct]]
    description: str = ""
    path: type[Struct] | None = None
    query: type[Struct] | None = None
    body: type[Struct] | None = None
    notes: Mapping[int, str] = {}
    bodiless: bool = False
    once: bool = False
    largest: int = SMALL
    most_entries: int | None = None
    errors: Mapping[int, str] = {}


def operation(summary: str, **fields: Any) -> Callable[[Handler], Handler]:
    """Declare a view's method, by the ``fields`` of ``Operation``. Its arguments ``path``, ``query`` and
    ``body``, if any, are structs, which it gets checked and normalised; its docstring is the description."""

    def declare(handler: Handler) -> Handler:
        taken: Any = {name: handler.__annotations__.get(name) for name in ("path", "query", "body")}
        description = " ".join((handler.__doc__ or "").split())
        return redeclare(handler, Operation(summary, description=description, **taken, **fields))

    return declare


def redeclare(handler: Handler, declared: Operation) -> Handler:
    """The method with another declaration."""
    undeclared = getattr(handler, "__wrapped__", handler)
    # Now, by one thread: msgspec 0.22 notes on a type what it knows of it before it knows all, and of two
    # first requests at once one saw the half: a segmentation fault, which ended the process.
    for struct in (declared.path, declared.query, declared.body):
        if struct is not None:
            msgspec.json.Decoder(struct)

    @functools.wraps(undeclared)
    def handle(view: Any, request: Request, **names: str) -> HttpResponseBase:
        return undeclared(view, request, **_arguments(declared, request, names))

    handle.operation = declared  # type: ignore[attr-defined]
    return handle


def operation_of(view: Any, method: str | None) -> Operation | None:
    """What was declared for this method of a view; None for views and methods that declare nothing."""
    return getattr(getattr(view, str(method).lower(), None), "operation", None)


def _arguments(declared: Operation, request: Request, names: dict[str, str]) -> dict[str, Any]:
    """Raises ``Invalid`` and whatever is wrong with the body or the token."""
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
