"""Parse the answers of other sync servers leniently, because each server has its own quirks. Pure."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, get_args

import msgspec

from eventstore.domain.devices import DeviceType
from feeds.imports.client import ServerFault

TYPES: Final = get_args(DeviceType)
LONGEST_CAPTION: Final = 255
LAST: Final = 2**53


class RemoteDevice(NamedTuple):
    id: Any
    caption: str | None
    type: Any


class Page(NamedTuple):
    """``actions`` are undecoded, each by itself; ``timestamp``: where the next page starts, or None."""

    actions: list[msgspec.Raw]
    timestamp: int | None


class _Page(msgspec.Struct):
    actions: list[msgspec.Raw]
    timestamp: Any = None


_PAGE = msgspec.json.Decoder(_Page).decode


def decode(body: bytes) -> Any:
    """Decode JSON of any kind. Raises ``ServerFault`` ``no_json``."""
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ServerFault("no_json") from None


def devices(body: bytes) -> list[RemoteDevice]:
    """Parse a list of devices. Raises ``ServerFault`` ``no_json`` where it is not a list."""
    found = decode(body)
    if not isinstance(found, list):
        raise ServerFault("no_json")
    return [_device(one) for one in found if isinstance(one, dict)]


def followed(body: bytes) -> list[Any]:
    """Return the addresses in a list of subscriptions, in any of its forms: changes with ``add``, addresses,
    or podcasts. Raises ``ServerFault`` ``no_json``."""
    found = decode(body)
    listed = found.get("add") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        raise ServerFault("no_json")
    return [_address(one) for one in listed]


def page(body: bytes) -> Page:
    """Parse a page of episode actions. Raises ``ServerFault`` ``no_json``."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        found = _PAGE(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _page_by_python(body)
    return Page(found.actions, _number(found.timestamp))


def actions(raw: Iterable[msgspec.Raw]) -> Iterator[Any]:
    """Yield actions one by one; None for an action that cannot be read."""
    for one in raw:
        try:
            yield msgspec.json.decode(one)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield _by_python(bytes(one))


def settings(body: bytes | None) -> dict[str, Any]:
    """Return the settings of a scope; empty where the server has none of that kind."""
    if body is None:
        return {}
    try:
        found = decode(body)
    except ServerFault:
        return {}
    return found if isinstance(found, dict) else {}


def favourites(body: bytes) -> list[tuple[Any, Any]]:
    """Return the addresses of podcasts and of episodes' files. Raises ``ServerFault`` ``no_json``."""
    found = decode(body)
    if not isinstance(found, list):
        raise ServerFault("no_json")
    return [(one.get("podcast_url"), one.get("url")) for one in found if isinstance(one, dict)]


def _device(raw: dict[str, Any]) -> RemoteDevice:
    text = raw.get("caption") or raw.get("name")
    caption = (
        "".join(filter(str.isprintable, text)).strip()[:LONGEST_CAPTION] if isinstance(text, str) else ""
    )
    kind = raw.get("type")
    return RemoteDevice(raw.get("id"), caption or None, kind if kind in TYPES else None)


def _address(one: Any) -> Any:
    return (one.get("url") or one.get("feed")) if isinstance(one, dict) else one


def _number(value: Any) -> int | None:
    """Parse a timestamp: some servers send it as text, or with a fraction."""
    try:
        number = int(float(value)) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and 0 <= number < LAST else None


def _page_by_python(body: bytes) -> _Page:
    """Parse a page more leniently and more slowly, so that one bad character does not spoil it."""
    found = _by_python(body)
    listed = found.get("actions") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ServerFault("no_json")
    return _Page([msgspec.Raw(json.dumps(one)) for one in listed], found.get("timestamp"))


def _by_python(raw: bytes) -> Any:
    """Decode with Python's parser, which accepts unpaired surrogates: they spoil only their own action."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
