"""How requests name an episode, and how answers show one."""

from collections.abc import Iterable
from functools import cache
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from api.fields import EnclosureUrl, Guid, Item
from eventstore.domain.identifiers import shown_item


class NamedEpisode(Struct, kw_only=True):
    """An episode by its item, or by GUID and enclosure URL, of which one may be left out. These win."""

    needs_episode: ClassVar = True

    rss_source_item: Item | None = None
    guid: Guid | None = None
    enclosure_url: EnclosureUrl | None = None


def show_episodes(entries: Iterable[Any]) -> None:
    """Give the entries of an answer, in place, all three ways to name their episodes."""
    entries = list(entries)
    if not entries:
        return
    has_item, lists = _shape(entries[0].__class__)
    if has_item:
        set_field = msgspec.structs.force_setattr
        for entry in entries:
            if entry.rss_source_item is not None:
                item, guid, enclosure_url = shown_item(entry.rss_source_item)
                set_field(entry, "rss_source_item", item)
                set_field(entry, "guid", guid)
                set_field(entry, "enclosure_url", enclosure_url)
    for name in lists:
        show_episodes(one for entry in entries for one in getattr(entry, name))


@cache
def _shape(entry: type[Struct]) -> tuple[bool, tuple[str, ...]]:
    """Whether entries name an episode, and their fields that are lists of others."""
    names = entry.__struct_fields__
    return "rss_source_item" in names, tuple(name for name in names if name in ("items", "feeds"))
