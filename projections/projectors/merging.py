"""The columns of a topic's table, and its merge in SQL, derived from the fields that the topic declares."""

from collections.abc import Collection
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from eventstore.domain.fields import Field, Group
from eventstore.domain.register import Register
from eventstore.domain.registers import LastWriter, OnOff

# a digest, in hexadecimal digits
Key: TypeAlias = Annotated[str, "uuid"]
KINDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
    UUID: "uuid",
    Key: "uuid",
    tuple[str, ...]: "text[]",
}
# stands for NULL in comparisons: less than any value
LEAST = {"text": "''", "integer": "-1", "double precision": "'-infinity'", "timestamptz": "'-infinity'"}


def columns_in(row: type[msgspec.Struct]) -> dict[str, str]:
    """Return the columns for the fields of a struct, with their types."""
    return {name: _kind(type_) for name, type_ in get_type_hints(row, include_extras=True).items()}


def kind_of(field: Field) -> str:
    """Return the SQL type of a field."""
    return _kind(field.type)


def columns_of(register: Register[Any]) -> dict[str, str]:
    """Return the columns for a register's fields, with their types."""
    return {field.public: kind_of(field) for field in register.fields.values()}


def merge_of(register: Register[Any], only: Collection[str] = ()) -> str:
    """Return the SQL by which an incoming row (EXCLUDED) changes the existing one (kept).

    It is the register's own rule, so the order in which they come does not matter. ``only``: the fields of a
    last-writer register that the table has.
    """
    match register:
        case LastWriter():
            fields = [field for field in register.fields.values() if not only or field.name in only]
            group = Group((register.time,), tuple(one for one in register.newest.fields if one in fields))
            news = ", ".join(f"{field.public} = EXCLUDED.{field.public}" for field in fields)
            return f"{news} WHERE {_exceeds(register, group)}"
        case OnOff():
            return ", ".join(part for group in register.groups for part in _parts(register, group))
    raise TypeError(type(register).__name__)


def _kind(type_: Any) -> str:
    if NoneType in get_args(type_):
        (type_,) = (one for one in get_args(type_) if one is not NoneType)
    return "text" if get_origin(type_) is Literal else KINDS[type_]


def _parts(register: Register[Any], group: Group) -> list[str]:
    exceeds = _exceeds(register, group)
    parts = [
        f"{name} = CASE WHEN {exceeds} THEN EXCLUDED.{name} ELSE kept.{name} END"
        for name in (field.public for field in group.fields)
    ]
    if len(group.times) == 1:
        name = register.fields[group.times[0]].public
        parts.append(f"{name} = greatest(kept.{name}, EXCLUDED.{name})")
    return parts


def _exceeds(register: Register[Any], group: Group) -> str:
    """Return the condition that the incoming row has the greater value."""
    incoming, kept = (
        ", ".join([_time(register, group, of), *(_rank(field, of) for field in group.fields)])
        for of in ("EXCLUDED", "kept")
    )
    return f"({incoming}) > ({kept})"


def _time(register: Register[Any], group: Group, of: str) -> str:
    names = [f"{of}.{register.fields[name].public}" for name in group.times]
    latest = names[0] if len(names) == 1 else f"greatest({', '.join(names)})"
    nullable = all(register.fields[name].nullable for name in group.times)
    return f"coalesce({latest}, '-infinity')" if nullable else latest


def _rank(field: Field, of: str) -> str:
    name, kind = f"{of}.{field.public}", kind_of(field)
    if field.ranks is not None:
        ranks = ", ".join("NULL" if value is None else f"'{value}'" for value in field.ranks)
        return f"array_position(ARRAY[{ranks}], {name})"
    value = f"coalesce({name}, {LEAST[kind]})" if field.nullable else name
    # the order of bytes, as in the domain
    return f'{value} COLLATE "C"' if kind == "text" else value
