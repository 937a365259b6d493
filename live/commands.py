"""Commands as messages: each stands for an API request, and the API's own views answer it in this process.

A message is thus validated, authorised, limited and recorded exactly as the request would be, and its id
makes it safe to repeat, as an ``Idempotency-Key`` does.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import Raw, Struct

from eventstore.domain.identifiers import InvalidIdentifier, item_of
from live.messages import Ack, Error, Malformed, Message

Environment = dict[str, Any]
Respond = Callable[[Environment], "Response"]
PREFIX: Final = "/api/v1/"
_UUID: Final = re.compile(r"[0-9a-fA-F-]{36}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_=-]+")


class Request(NamedTuple):
    """An API request. ``path`` has in braces the fields of the message that go into the path; the other
    fields go into the body, or into the query of a DELETE."""

    method: str
    path: str


def _lists(one: str, member: str) -> dict[str, Request]:
    many, within = f"{one}s", f"{one}s/{{{one}_id}}"
    name = "rss_source_item" if member == "item" else "rss_source_feed"
    return {
        f"create_{one}": Request("POST", many),
        f"update_{one}": Request("PATCH", within),
        f"delete_{one}": Request("DELETE", within),
        f"add_to_{one}": Request("POST", f"{within}/{member}s"),
        f"remove_from_{one}": Request("DELETE", f"{within}/{member}s/{{{name}}}"),
        f"order_{one}": Request("PUT", f"{within}/order"),
    }


COMMANDS: Final[Mapping[str, Request]] = {
    "record_play": Request("POST", "plays"),
    "update_position": Request("PUT", "plays/{rss_source_item}/position"),
    "subscribe": Request("POST", "subscriptions"),
    "unsubscribe": Request("DELETE", "subscriptions/{rss_source_feed}"),
    "save_episode": Request("POST", "episodes/{rss_source_item}/save"),
    "unsave_episode": Request("DELETE", "episodes/{rss_source_item}/save"),
    "share_episode": Request("POST", "episodes/{rss_source_item}/share"),
    **_lists("playlist", "item"),
    **_lists("collection", "feed"),
    "set_privacy": Request("PUT", "privacy"),
    "clear_privacy": Request("DELETE", "privacy"),
}
# what a play token may also do over HTTP: record plays and positions
OF_PLAY_TOKENS: Final = frozenset({"record_play", "update_position"})
# the names of these fields in a query
IN_QUERY: Final = {"rss_source_feed": "feed", "rss_source_item": "item"}


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    content: bytes


def environment_of(message: Message, base: Environment) -> Environment:
    """Return the WSGI environment of the request that a command stands for, based on what all requests of its
    connection share.

    Raises ``Malformed`` for an unknown type, and for invalid fields that belong in the path.
    """
    if message.id is None:
        raise Malformed("required", "A command needs an id.", "id")
    if (request := COMMANDS.get(message.type)) is None:
        raise Malformed("unknown_type", "No such type of message.", "type", message.id)
    fields = dict(message.fields)
    names = [part[1:-1] for part in request.path.split("/") if part.startswith("{")]
    path = request.path.format(**{name: _in_path(fields, name, message.id) for name in names})
    body, query = b"", ""
    if request.method == "DELETE":
        query = urlencode(dict(_in_query(fields, message.id)))
    else:
        body = msgspec.json.encode(fields)
    return {
        **base,
        "REQUEST_METHOD": request.method,
        "PATH_INFO": f"{PREFIX}{path}",
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_IDEMPOTENCY_KEY": message.id,
        "wsgi.input": BytesIO(body),
    }


def to_message(id: str, response: Response) -> Ack | Error:
    """Return the acknowledgement or error that corresponds to a response of the API."""
    if response.status < 400:
        position = response.headers.get("balados-position")
        reached = None if position is None else int(position)
        return Ack(id, response.status, reached, Raw(response.content or b"null"))
    wait = response.headers.get("retry-after")
    errors = msgspec.json.decode(response.content, type=_Errors).errors
    return Error(id, response.status, errors, int(wait) if wait else None)


def codes(found: Error) -> set[str]:
    """Return the codes of the errors."""
    raw = found.errors if isinstance(found.errors, Raw) else msgspec.json.encode(found.errors)
    return {each["code"] for each in msgspec.json.decode(raw)}


class _Errors(Struct):
    errors: Raw


def _in_path(fields: dict[str, Any], name: str, id: str) -> str:
    """Return the value of a field for the path. The path is not escaped, so only plain identifiers are
    accepted."""
    value = fields.pop(name, None)
    if name == "rss_source_item" and value is None:
        value = _item(fields, id)
    if not isinstance(value, str) or not value:
        raise Malformed("required", "This field is required.", name, id)
    if not (_UUID if name.endswith("_id") else _BASE64).fullmatch(value):
        raise Malformed("invalid", "Not a name of this kind.", name, id)
    return value


def _item(fields: dict[str, Any], id: str) -> str | None:
    """Return the item identifier made of the GUID and the enclosure's address, which may be sent instead of
    it. Raises ``Malformed``."""
    guid, enclosure_url = fields.pop("guid", None) or "", fields.pop("enclosure_url", None) or ""
    if not isinstance(guid, str) or not isinstance(enclosure_url, str) or not (guid or enclosure_url):
        return None
    try:
        return item_of(guid, enclosure_url)
    except InvalidIdentifier as error:
        raise Malformed(error.code, f"{error}.", "guid" if guid else "enclosure_url", id) from None


def _in_query(fields: dict[str, Any], id: str) -> Iterable[tuple[str, str]]:
    for name, value in fields.items():
        if value is None:
            continue
        if not isinstance(value, str | int | float):
            raise Malformed("invalid", "Expected a text.", name, id)
        yield (
            IN_QUERY.get(name, name),
            value if isinstance(value, str) else msgspec.json.encode(value).decode(),
        )
