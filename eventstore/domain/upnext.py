"""Up next: an episode that is heard to the end leaves its listener's queue in the same append.

It stays in the queue where it was added later than it was finished, whichever of the two arrives first.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from eventstore.domain import plays, times
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Command, Event
from eventstore.domain.playlists import (
    ITEMS,
    AddToPlaylist,
    Playlist,
    PlaylistItem,
    PlaylistItemAdded,
    PlaylistItemEntry,
    PlaylistItemRemoved,
    queue_id,
)
from eventstore.domain.plays import PlayRecorded, RecordPlay
from eventstore.domain.sync import SyncUserData

Entries = Mapping[str, Mapping[str, Any]]


def keys(command: Command) -> dict[str, tuple[str, ...]]:
    """Return the keys of the entries that are needed besides those that the command names itself, by
    topic."""
    if isinstance(command, RecordPlay):  # first, because it is the most frequent
        return {"playlists": (str(queue_id(command.user_id)),)} if plays.is_finishing(command) else {}
    queue = queue_id(command.user_id)
    match command:
        case AddToPlaylist() if command.playlist_id == queue and command.at is not None:
            return {"plays": (episode_key(command.feed, command.item),)}
        case SyncUserData():
            sent = command.sent
            of_queue = sent.playlists.get(str(queue))
            is_needed = of_queue is None and any(one.played for one in sent.plays.values())
            return {
                "playlists": (str(queue),) if is_needed else (),
                "plays": () if of_queue is None else tuple(of_queue.members),
            }
    return {}


def leave(entries: Entries, command: Command, events: Iterable[Event]) -> list[Event]:
    """Return the events that take episodes out of the queue after a command that leads to ``events``, given
    the entries of its keys."""
    match command:
        case RecordPlay():
            if not plays.is_finishing(command):
                return []
        case AddToPlaylist():
            if command.at is None:
                return []
        case SyncUserData():
            pass
        case _:
            return []
    finished = dict(_finished(entries, command, events))
    if not finished:
        return []
    inside = _inside(entries, command, events)
    is_now = isinstance(command, RecordPlay) and command.at is None
    return [
        _removed(command, member, times.after_all(at, member.added_at) if is_now else at)
        for key, at in finished.items()
        if (member := inside.get(key)) is not None and (is_now or member.added_at < at)
    ]


def _finished(entries: Entries, command: Command, events: Iterable[Event]) -> Iterator[tuple[str, datetime]]:
    """Yield which episodes were heard to the end, and when: of those that are added to the queue now, and of
    those that are now reported as played."""
    queue = queue_id(command.user_id)
    events = list(events)
    for added in (event for event in events if type(event) is PlaylistItemAdded):
        if added.playlist_id == queue:
            key = ITEMS.key.read(added)
            play = entries.get("plays", {}).get(key)
            if play is not None and play.played:
                yield key, play.updated_at
    for event in events:
        if type(event) is PlayRecorded and event.played:
            yield plays.REGISTER.key.read(event), event.played_at


def _inside(entries: Entries, command: Command, events: Iterable[Event]) -> dict[str, Any]:
    """Return what is in the queue after these events."""
    queue = queue_id(command.user_id)
    known = entries.get("playlists", {}).get(str(queue))
    members: dict[str, PlaylistItem] = {} if known is None else dict(known.members)
    for event in events:
        if isinstance(event, PlaylistItemAdded | PlaylistItemRemoved) and event.playlist_id == queue:
            ITEMS.evolve(members, event)
    return {key: member for key, member in members.items() if ITEMS.is_on(member)}


def _removed(command: Command, member: PlaylistItem, at: datetime) -> PlaylistItemRemoved:
    return PlaylistItemRemoved(
        user_id=command.user_id,
        playlist_id=queue_id(command.user_id),
        rss_source_feed=member.feed,
        rss_source_item=member.item,
        removed_at=at,
    )


def entries(known: Playlist, keys: Iterable[str], at: datetime) -> list[PlaylistItemEntry]:
    """Return these members of a playlist in this order, all added at one time."""
    return [
        PlaylistItemEntry(of.feed, of.item, of.item_title, of.feed_title, position=place, added_at=at)
        for place, of in enumerate(known.members[key] for key in keys)
    ]
