"""How requests identify an episode, and how answers show one."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from api.fields import EnclosureUrl, Feed, Guid, Item
from eventstore.domain.identifiers import (
    InvalidIdentifier,
    item_of,
    normalise_item,
    parts_of_item,
    shown_item,
)

# The parts of an item, which may also be given beside it or instead of it.
IN_ITEM = ("guid", "enclosure_url")


class NamedEpisode(Struct, kw_only=True):
    """An episode, given by its item or by GUID and enclosure URL, of which one may be left out. GUID and
    enclosure URL take precedence over the item."""

    needs_episode: ClassVar = True

    rss_source_item: Item | None = None
    guid: Guid | None = None
    enclosure_url: EnclosureUrl | None = None


class FeedOrEpisode(Struct, kw_only=True):
    """A feed, an episode of it, or neither. The feed may be left out if only one of the user's feeds has the
    item (422 `ambiguous_item`)."""

    feed: Feed | None = None
    item: Item | None = None
    guid: Guid | None = None
    enclosure_url: EnclosureUrl | None = None


class FeedPath(Struct):
    feed: Feed


class ItemPath(Struct):
    item: Item


class FeedQuery(Struct):
    feed: Feed | None = None


@cache
def names_episodes(struct: type[Any]) -> bool:
    """Whether GUID and enclosure URL may be given instead of the item."""
    return set(IN_ITEM) <= set(struct.__struct_fields__)


def item_field(struct: type[Struct]) -> str:
    return "item" if "item" in struct.__struct_fields__ else "rss_source_item"


@cache
def needed(struct: type[Struct]) -> list[tuple[str, ...]]:
    """Return the groups of fields of which one must be given: a struct declares them by ``at_least_one``
    (names) and ``needs_episode``."""
    item = item_field(struct)
    groups = [getattr(struct, "at_least_one", ()), (item,) if hasattr(struct, "needs_episode") else ()]
    more = IN_ITEM if names_episodes(struct) else ()
    return [names + more if item in names else names for names in groups if names]


def by_item(values: Sequence[Any]) -> Sequence[Any]:
    """Return the values that identify their episode by its item alone."""
    if not values or not names_episodes(values[0].__class__):
        return values
    return [one for one in values if not (one.guid or one.enclosure_url)]


def fill_items(values: Sequence[Any]) -> None:
    """Build the items, in place, where GUID or enclosure URL are given; these win over those in the item."""
    if not values or not names_episodes(values[0].__class__):
        return
    name = item_field(values[0].__class__)
    for one in values:
        guid, enclosure_url = one.guid, one.enclosure_url
        if not guid and not enclosure_url:
            continue
        if not guid or not enclosure_url:
            # an invalid item contributes nothing
            with suppress(InvalidIdentifier):
                others = parts_of_item(normalise_item(getattr(one, name) or ""))
                guid, enclosure_url = guid or others[0], enclosure_url or others[1]
        msgspec.structs.force_setattr(one, name, item_of(guid or "", enclosure_url or ""))


def show_episodes(entries: Iterable[Any]) -> None:
    """Add, in place, all three ways of naming an episode to the entries of an answer."""
    entries = list(entries)
    if not entries:
        return
    has_item, lists = _shape(entries[0].__class__)
    if has_item:
        set_field = msgspec.structs.force_setattr
        for entry in entries:
            known = entry.rss_source_item
            if known is not None:
                item, guid, enclosure_url = shown_item(known)
                if item is not known:
                    set_field(entry, "rss_source_item", item)
                set_field(entry, "guid", guid)
                set_field(entry, "enclosure_url", enclosure_url)
    for name in lists:
        show_episodes(one for entry in entries for one in getattr(entry, name))


@cache
def _shape(entry: type[Struct]) -> tuple[bool, tuple[str, ...]]:
    """Whether entries name an episode, and which of their fields are lists of other entries."""
    names = entry.__struct_fields__
    return "rss_source_item" in names, tuple(name for name in names if name in ("items", "feeds"))
