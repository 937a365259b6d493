"""The OpenAPI document, made from the code: drf-spectacular finds the routes, msgspec describes the structs.

Views declare with ``operation`` what they take and return; what applies everywhere (authentication, limits,
the shape of errors, the headers) is added here once.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from drf_spectacular.openapi import AutoSchema
from msgspec import Struct, inspect

from api.auth import ANY_GRANT
from api.episodes import needed
from api.glossary import explain
from api.operations import Operation, RawBody, operation_of
from api.parameters import IDEMPOTENCY_KEY, LAST_POSITION, POSITION
from api.validation import fields_of

Document = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"
SECURITY = {
    "request_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": (
            "Signed by the app (RS256): `iss`, its id; `sub`, the id of the user who has let it in; `iat` and"
            " `exp`, an hour apart at most; `device_id` and `device_name`."
        ),
    }
}
ERRORS = {
    400: (
        "The request is malformed or invalid; each error is listed with its place. The response to what is"
        " not HTTP is plain text if the path is not known, and ends the connection."
    ),
    401: "The token is missing or invalid.",
    403: "The app has not been granted the required scope.",
    404: "There is no such resource.",
    408: "The headers did not arrive within 10 s, or the body within 15 s, plus 1 s for each 16 KiB of it.",
    409: "Every attempt conflicted with concurrent writes; send the request again.",
    413: "The request is too large; the error gives the limit.",
    414: "The URL is longer than 8 KiB.",
    415: "The body is not of the documented media type; JSON must be in UTF-8.",
    422: "A domain rule forbids it, or the Idempotency-Key was already used for another request.",
    429: "Too many requests; Retry-After says how long to wait.",
    431: "There are more than 100 headers, or they are larger than 32 KiB.",
    503: "A store is unavailable or in maintenance, or a read model is behind; wait as Retry-After says.",
}
EVERYWHERE = frozenset({400, 401, 403, 414, 429, 431, 503})
INTEGER = {"type": "integer", "minimum": 0}
POSITION_SCHEMA = {**INTEGER, "maximum": LAST_POSITION}
# descriptions of response headers
READ = "The position in the event log that this response reflects."
WRITTEN = "The position in the event log; a read that sends it back reflects this write."
KEPT = "Send it back in If-None-Match: status 304 then means that nothing has changed."
ERROR_HEADERS: dict[int, Document] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": INTEGER, "description": "Seconds to wait before the next try."}},
    503: {"Retry-After": {"schema": INTEGER, "description": "Seconds to wait before the next try."}},
}


class ErrorEntry(Struct):
    code: str
    detail: str
    attr: str | None


class ErrorAnswer(Struct):
    """`attr` names the place of an error in the request, as in `play_statuses.17.position`."""

    type: Literal["validation_error", "client_error", "server_error"]
    errors: list[ErrorEntry]


class ApiSchema(AutoSchema):
    """REST framework's DEFAULT_SCHEMA_CLASS: one operation for each declared method, none for others."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> Document | None:
        described = operation_of(self.view, method)
        if described is None:
            return None
        view: Any = self.view
        reads = method == "GET"
        document: Document = {
            "operationId": described.summary.lower().replace(" ", "_"),
            "summary": described.summary,
            "description": f"{_text(described)}\n\n{_needs(view, method)}",
            "tags": [path.split("/")[3]],
            "security": [] if view.public else [{scheme: [] for scheme in SECURITY}],
            "parameters": [*_parameters(described), *([] if view.public else [_header(reads=reads)])],
            "responses": _responses(described, reads=reads, public=view.public),
        }
        if described.body is not None:
            document["requestBody"] = {
                "required": not described.bodiless,
                "content": _content(described.body),
            }
        return document


def add_components(
    result: Document, generator: Any, request: Any, public: bool
) -> Document:  # the signature of drf-spectacular's POSTPROCESSING_HOOKS
    """Describe every struct that the operations refer to."""
    structs: dict[type[Struct], None] = {ErrorAnswer: None}
    for _, _, method, view in generator._get_paths_and_endpoints():
        known = operation_of(view, method)
        if known is not None:
            structs |= dict.fromkeys([*known.answers.values(), *filter(None, [known.body])])
    structs = {struct: None for struct in structs if not issubclass(struct, RawBody)}
    _, components = msgspec.json.schema_components(structs, ref_template=REFERENCE)
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(components)
    for struct in structs:
        for described in (struct, *(field.entries for field in fields_of(struct) if field.entries)):
            schemas[described.__name__].update(_rules(described))
    for struct_type in _structs_in(inspect.multi_type_info(structs)):
        _mark_times(struct_type, schemas[struct_type.cls.__name__]["properties"])
    for name, schema in schemas.items():
        explain(name, schema)
    result["components"]["securitySchemes"] = SECURITY
    return result


def _structs_in(types: Iterable[inspect.Type]) -> list[inspect.StructType]:
    """Return the structs among these types and those inside them, each once."""
    found: dict[type, inspect.StructType] = {}
    waiting = list(types)
    while waiting:
        match waiting.pop():
            case inspect.StructType() as struct:
                if struct.cls not in found:
                    found[struct.cls] = struct
                    waiting += [field.type for field in struct.fields]
            case inspect.UnionType(types=members):
                waiting += members
            case inspect.ListType(item_type=member) | inspect.Metadata(type=member):
                waiting.append(member)
    return list(found.values())


def _mark_times(struct: inspect.StructType, properties: Document) -> None:
    """Give the format ``date-time`` to times, in place: msgspec does so only where it checks the offset."""
    for field in struct.fields:
        is_optional = isinstance(field.type, inspect.UnionType)
        types = field.type.types if isinstance(field.type, inspect.UnionType) else [field.type]
        if any(isinstance(each, inspect.DateTimeType) for each in types):
            schema = properties[field.encode_name]
            for each in schema["anyOf"] if is_optional else [schema]:
                if each["type"] == "string":
                    each["format"] = "date-time"


def _rules(struct: type[Struct]) -> Document:
    """Return the rule that at least one of some fields is given and not null."""
    given = {"type": "string", "minLength": 1}
    groups = [
        {"anyOf": [{"required": [name], "properties": {name: given}} for name in names]}
        for names in needed(struct)
    ]
    return {"allOf": groups} if groups else {}


def _needs(view: Any, method: str) -> str:
    if view.public:
        return "No token is needed. Responses may be cached for a minute."
    scope = view.scopes[method]
    return (
        "Open to any app that the user has granted access; no particular scope is needed."
        if scope is ANY_GRANT
        else f"Scope: `{scope}`."
    )


def _text(described: Operation) -> str:
    once = " A token with a `jti` is accepted here only once." if described.once else ""
    return described.description + once


def _parameters(described: Operation) -> Iterable[Document]:
    for place, struct in (("path", described.path), ("query", described.query)):
        components = msgspec.json.schema_components([struct], ref_template=REFERENCE)[1] if struct else {}
        for component in components.values():
            for name, schema in component["properties"].items():
                shown = _without_null(schema)
                description = {"description": shown.pop("description")} if "description" in shown else {}
                required = {"required": True} if place == "path" else {}
                yield {"name": name, "in": place, "schema": shown, **description, **required}


def _without_null(schema: Document) -> Document:
    """Return the schema of a parameter, which is left out rather than null."""
    members = [member for member in schema.get("anyOf", []) if member != {"type": "null"}]
    if not members:
        return dict(schema)
    (member,) = members
    # without a type, an enum cannot be distinguished from other kinds of values
    return {"type": "string", **member} if "enum" in member else dict(member)


def _header(*, reads: bool) -> Document:
    """Return the header that a request may send besides its parameters."""
    if reads:
        text = "The position from an earlier response, which this one will reflect. Waits up to 2 seconds."
        return {"name": POSITION, "in": "header", "schema": POSITION_SCHEMA, "description": text}
    text = "Makes it safe to repeat the request for 48 hours: a repeat gets the first response again."
    schema = {"type": "string", "format": "uuid"}
    return {"name": IDEMPOTENCY_KEY, "in": "header", "schema": schema, "description": text}


def _responses(described: Operation, *, reads: bool, public: bool) -> Document:
    errors = EVERYWHERE - ({401, 403} if public else set())
    if not reads:
        errors |= {409, 422}
    if described.body is not None:
        errors |= {408, 413, 415}
    if described.path is not None:
        errors |= {404}
    position = {"schema": POSITION_SCHEMA, "description": READ if reads else WRITTEN}
    etag = {"schema": {"type": "string"}, "description": KEPT}
    responses: Document = {}
    for status, struct in described.answers.items():
        responses[str(status)] = {
            "description": described.notes.get(status, "Done." if not reads else "The requested data."),
            "headers": {"ETag": etag} if public else {POSITION: position},
            "content": _content(struct),
        }
    for status, text in described.errors.items():
        responses[str(status)] = {"description": text, "content": _json(ErrorAnswer)}
    for status in sorted(errors - described.errors.keys()):
        headers = {"headers": ERROR_HEADERS[status]} if status in ERROR_HEADERS else {}
        responses[str(status)] = {"description": ERRORS[status], "content": _json(ErrorAnswer), **headers}
    return responses


def _content(struct: type[Struct]) -> Document:
    if issubclass(struct, RawBody):
        return {media_type: {"schema": {"type": "string"}} for media_type in struct.media_types}
    return _json(struct)


def _json(struct: type[Struct]) -> Document:
    return {"application/json": {"schema": {"$ref": REFERENCE.format(name=struct.__name__)}}}
