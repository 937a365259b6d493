"""Pages of lists that are read whole, because they are searched or ordered by what no query knows."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def cut(found: Sequence[T], key_of: Callable[[T], str], after: str, size: int) -> tuple[list[T], str]:
    """The page of at most ``size`` that comes after the one whose key is ``after``, the first where that is
    gone; and the key of its last where there are more, else ""."""
    keys = [key_of(each) for each in found]
    start = keys.index(after) + 1 if after in keys else 0
    end = start + size
    return list(found[start:end]), keys[end - 1] if len(found) > end else ""
