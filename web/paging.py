"""Pagination of lists that are read completely because they are searched or ordered by
something that no query covers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def cut(found: Sequence[T], key_of: Callable[[T], str], after: str, size: int) -> tuple[list[T], str]:
    """Return the page of at most ``size`` after the entry with the key ``after``, or the first page if there
    is no such entry; and the key of its last entry if more follow, else ""."""
    keys = [key_of(each) for each in found]
    start = keys.index(after) + 1 if after in keys else 0
    end = start + size
    return list(found[start:end]), keys[end - 1] if len(found) > end else ""
