"""Entries of a topic that are not all loaded: code that needs several of them requests them at once."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TypeVar

S = TypeVar("S")


class PartialEntries(MutableMapping[str, Any]):
    """A mapping that reads an entry when it is accessed."""

    @abstractmethod
    def pick(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the entries that exist for these keys."""

    @abstractmethod
    def holding(self, text: str) -> Mapping[str, Any]:
        """Return at least the entries whose items contain a text."""

    @abstractmethod
    def states(self) -> Iterable[Any]:
        """Return all entries without their keys."""


def pick(entries: Mapping[str, S], keys: Iterable[str]) -> dict[str, S]:
    """Return the entries that exist for these keys."""
    if isinstance(entries, PartialEntries):
        return entries.pick(keys)
    return {key: entries[key] for key in keys if key in entries}


def holding(entries: Mapping[str, S], text: str) -> Mapping[str, S]:
    """Return at least the entries whose items contain a text; all entries for an empty text."""
    return entries.holding(text) if text and isinstance(entries, PartialEntries) else entries


def states(entries: Mapping[str, S]) -> Iterable[S]:
    """Return all entries without their keys, which cost as much to read as the entries."""
    return entries.states() if isinstance(entries, PartialEntries) else entries.values()
