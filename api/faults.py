"""Every fault of what a caller sent, with its place.

msgspec stops at the first one. So this goes over the same data again, field by field, once decoding has
failed: slow, and only for requests that are refused.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

# A payload may be wrong in every one of 50,000 entries; nobody reads on after this many.
MOST_FAULTS = 1_000
_PLACE = re.compile(r" - at `(?:key in )?\$([^`]*)`$")


class Fault(NamedTuple):
    code: str
    detail: str
    attr: str | None


class Field(NamedTuple):
    """A field of a request, as far as checking it goes."""

    name: str
    type: Any
    required: bool
    entries: type[Struct] | None
    normalise: Callable[[Any], object] | None
    parse: Callable[[str], object] | None


@cache
def fields_of(struct: type[Struct]) -> tuple[Field, ...]:
    return tuple(_field(field) for field in msgspec.structs.fields(struct))


def faults_of(struct: type[Struct], data: object, place: str = "") -> Iterator[Fault]:
    """What is wrong with ``data`` (decoded JSON), as a ``struct``."""
    if not isinstance(data, dict):
        yield Fault("invalid", "Expected an object.", place or None)
        return
    healthy = True
    for field in fields_of(struct):
        for fault in _faults_of_field(field, data, f"{place}.{field.name}".lstrip(".")):
            healthy = False
            yield fault
    if healthy:
        whole = msgspec.convert(data, struct)
        normalise(whole)
        for fault in across(whole):
            yield fault._replace(attr=f"{place}.{fault.attr}".lstrip("."))


def across(request: Struct) -> Iterator[Fault]:
    """The rules across fields that a normalised request breaks, and each entry of its lists: what their
    methods ``faults`` name, if any."""
    rules = getattr(request, "faults", None)
    if rules is not None:
        yield from rules()
    for name, struct in lists_of(type(request)):
        if not _has_rules(struct):
            continue
        for number, entry in enumerate(getattr(request, name)):
            for fault in across(entry):
                yield fault._replace(attr=f"{name}.{number}.{fault.attr}")


def capped(faults: Iterator[Fault]) -> list[Fault]:
    """The faults, or the first ``MOST_FAULTS`` and a word that there are more."""
    listed: list[Fault] = []
    for fault in faults:
        if len(listed) == MOST_FAULTS:
            more = f"Only the first {MOST_FAULTS} faults are listed."
            return [*listed, Fault("too_many_faults", more, None)]
        listed.append(fault)
    return listed


def fault_of(error: msgspec.ValidationError, place: str | None = None) -> Fault:
    """msgspec's own words about a value; its place ``$.plays[3].item`` becomes ``plays.3.item``."""
    text = str(error)
    if found := _PLACE.search(text):
        inner = re.sub(r"\[(\w+|\.\.\.)\]", r".\1", found[1]).lstrip(".")
        place = ".".join(filter(None, (place, inner)))
        text = text[: found.start()]
    return Fault("invalid", text.replace("`", "") + ".", place or None)


def normalise(request: Struct) -> None:
    """Bring every field into its one spelling, in place, entries of lists included. Raises ``ValueError``."""
    normalise_all(type(request), [request])


def normalise_all(struct: type[Struct], entries: Sequence[Struct]) -> None:
    """``normalise`` for the thousands of a list: field by field, so that each entry costs no look-ups."""
    set_field = msgspec.structs.force_setattr
    for name, normalised in _normalisers(struct):
        for entry in entries:
            value = getattr(entry, name)
            if value is not None:
                set_field(entry, name, normalised(value))
    for name, inner in lists_of(struct):
        normalise_all(inner, [one for entry in entries for one in getattr(entry, name)])


def count(request: Struct) -> int:
    """How many entries its lists hold, those of the entries included."""
    lists = lists_of(type(request))
    return sum(
        len(entries) + _inside(struct, entries)
        for name, struct in lists
        for entries in [getattr(request, name)]
    )


@cache
def lists_of(struct: type[Struct]) -> tuple[tuple[str, type[Struct]], ...]:
    """The fields that are lists of structs."""
    return tuple((field.name, field.entries) for field in fields_of(struct) if field.entries is not None)


@cache
def _has_rules(struct: type[Struct]) -> bool:
    return hasattr(struct, "faults") or any(_has_rules(inner) for _, inner in lists_of(struct))


def _inside(struct: type[Struct], entries: Sequence[Struct]) -> int:
    return sum(map(count, entries)) if lists_of(struct) else 0


@cache
def _normalisers(struct: type[Struct]) -> tuple[tuple[str, Callable[[Any], object]], ...]:
    return tuple((field.name, field.normalise) for field in fields_of(struct) if field.normalise is not None)


def _faults_of_field(field: Field, data: dict[str, Any], place: str) -> Iterator[Fault]:
    if field.name not in data:
        if field.required:
            yield Fault("required", "This field is required.", place)
        return
    value = data[field.name]
    if field.entries is not None and isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _faults_of_entry(field.entries, entry, f"{place}.{number}")
        return
    try:
        checked = msgspec.convert(value, field.type)
        if field.normalise is not None and checked is not None:
            field.normalise(checked)
    except msgspec.ValidationError as error:
        yield fault_of(error, place)
    except ValueError as error:
        yield Fault("invalid", f"{error}.", place)


def _faults_of_entry(struct: type[Struct], entry: object, place: str) -> Iterator[Fault]:
    # most entries of a refused payload are good, and told so 5 times faster as a whole
    try:
        whole = msgspec.convert(entry, struct)
        normalise(whole)
    except (msgspec.ValidationError, ValueError):
        yield from faults_of(struct, entry, place)
        return
    for fault in across(whole):
        yield fault._replace(attr=f"{place}.{fault.attr}")


def _field(field: msgspec.structs.FieldInfo) -> Field:
    extra = next((meta.extra for meta in _metas(field.type) if meta.extra is not None), {})
    entries = _entries(field.type)
    return Field(
        field.encode_name, field.type, field.required, entries, extra.get("normalise"), extra.get("parse")
    )


def _metas(type_: Any) -> Iterator[Meta]:
    """What annotations say, also inside ``… | None``."""
    origin = get_origin(type_)
    if origin is Annotated:
        yield from (meta for meta in type_.__metadata__ if isinstance(meta, Meta))
        yield from _metas(type_.__origin__)
    elif origin in (Union, UnionType):
        for member in get_args(type_):
            yield from _metas(member)


def _entries(type_: Any) -> type[Struct] | None:
    """The struct of a list of structs."""
    if get_origin(type_) is not list:
        return None
    (member,) = get_args(type_)
    return member if isinstance(member, type) and issubclass(member, Struct) else None
