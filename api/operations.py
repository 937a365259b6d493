"""What a view's method takes and returns: declared once, checked on every request, and described in
OpenAPI."""

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
# In bytes. One play or subscription has a few hundred; the longest feed and item together have 8 KB.
SMALL = 256 * KIB


class RawBody(Struct):
    """A body or an answer that is not JSON but bytes of one of ``media_types``, which subclasses name."""

    media_types: ClassVar[tuple[str, ...]] = ()

    raw: bytes
    content_type: str


Handler = Callable[..., HttpResponseBase]


class Operation(NamedTuple):
    """The declaration of a view's method. ``notes``: what a status of an answer means here. ``errors``:
    statuses that only this operation has. ``bodiless``: the body may be left out. ``once``: a token with a
    ``jti`` is accepted only once. ``largest``: the limit of the body, in bytes."""

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
    """Declare a view's method, with the ``fields`` of ``Operation``. Its arguments ``path``, ``query`` and
    ``body``, if any, are structs, which are checked and normalised before the call; its docstring is the
    description."""

    def declare(handler: Handler) -> Handler:
        taken: Any = {name: handler.__annotations__.get(name) for name in ("path", "query", "body")}
        description = " ".join((handler.__doc__ or "").split())
        return redeclare(handler, Operation(summary, description=description, **taken, **fields))

    return declare


def redeclare(handler: Handler, declared: Operation) -> Handler:
    """Return the method with another declaration."""
    undeclared = getattr(handler, "__wrapped__", handler)
    # Built here, by one thread: msgspec 0.22 caches what it knows of a type before that is complete. Of two
    # first requests at the same time, one used an incomplete entry, and a segmentation fault ended the
    # process.
    for struct in (declared.path, declared.query, declared.body):
        if struct is not None:
            msgspec.json.Decoder(struct)

    @functools.wraps(undeclared)
    def handle(view: Any, request: Request, **names: str) -> HttpResponseBase:
        return undeclared(view, request, **_arguments(declared, request, names))

    handle.operation = declared  # type: ignore[attr-defined]
    return handle


def operation_of(view: Any, method: str | None) -> Operation | None:
    """Return what was declared for this method of a view; None for views and methods that declare nothing."""
    return getattr(getattr(view, str(method).lower(), None), "operation", None)


def _arguments(declared: Operation, request: Request, names: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of a call. Raises ``Invalid``, and what parsing the body or checking the token
    raises."""
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
