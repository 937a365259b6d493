"""Entries of a topic that are not all at hand: whoever reads several asks for them at once."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TypeVar

S = TypeVar("S")


class PartialEntries(MutableMapping[str, Any]):
    """A mapping that reads an entry when it is asked for."""

    @abstractmethod
    def pick(self, keys: Iterable[str]) -> dict[str, Any]:
        """The entries of keys that there are."""

    @abstractmethod
    def holding(self, text: str) -> Mapping[str, Any]:
        """At least the entries whose items hold a text."""


def pick(entries: Mapping[str, S], keys: Iterable[str]) -> dict[str, S]:
    """The entries of keys that there are."""
    if isinstance(entries, PartialEntries):
        return entries.pick(keys)
    return {key: entries[key] for key in keys if key in entries}


def holding(entries: Mapping[str, S], text: str) -> Mapping[str, S]:
    """At least the entries whose items hold a text; of none, all."""
    return entries.holding(text) if text and isinstance(entries, PartialEntries) else entries
