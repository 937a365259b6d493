"""What is wrong with a value, said so that it can be mended: msgspec names Python's types and no purpose."""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta

# msgspec's names of types, in the words of JSON
_TYPES = {
    "array": "an array",
    "bool": "true or false",
    "date": "a date",
    "datetime": "a date and time",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
    "uuid": "a UUID",
}
_TYPE = re.compile(r"`([\w |]+)`")
_TIME = re.compile("Invalid RFC3339 encoded (datetime|date)")
_CHOICE = re.compile(r"Invalid enum value (.+)")


def reason(text: str, type_: Any = None) -> str:
    """Return sentences: what msgspec or a normaliser objects to in its ``text``, then what a value of that
    declared type is, with an example."""
    if found := _CHOICE.fullmatch(text):
        expected = " or ".join(str(choice) for choice in _choices(type_))
        text = f"Expected {expected}, got {found[1]}" if expected else text
    if found := _TIME.fullmatch(text):
        text = f"Not {_TYPES[found[1]]} in RFC 3339"
    parts = [sentence(_TYPE.sub(_in_JSON, text))]
    for meta in metas(type_):
        if meta.description:
            parts.append(meta.description.replace("`", ""))
            parts.extend(f"For example: {example}" for example in meta.examples or ())
            break
    return " ".join(parts)


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def metas(type_: Any) -> Iterator[Meta]:
    """Yield the metadata of annotations, also inside ``… | None``."""
    origin = get_origin(type_)
    if origin is Annotated:
        yield from (meta for meta in type_.__metadata__ if isinstance(meta, Meta))
        yield from metas(type_.__origin__)
    elif origin in (Union, UnionType):
        for member in get_args(type_):
            yield from metas(member)


def _in_JSON(found: re.Match[str]) -> str:
    """Return the words for ``int | null``. That null is allowed too helps nobody who sent something else."""
    names = [name for name in found[1].split(" | ") if name != "null"]
    return " or ".join(_TYPES.get(name, name) for name in names or ["null"])


def _choices(type_: Any) -> list[object]:
    """Return the values of the ``Literal`` in a type, if there is one."""
    if get_origin(type_) is Literal:
        return list(get_args(type_))
    if get_origin(type_) is Annotated:
        return _choices(type_.__origin__)
    if get_origin(type_) in (Union, UnionType):
        return [choice for member in get_args(type_) for choice in _choices(member)]
    return []
