"""All topics in one sync: devices with any clocks, in any order, twice or late, end with the same."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import sync
from eventstore.domain.collections import CollectionEntry, CollectionFeedEntry, default_id
from eventstore.domain.episodes import SavedEpisodeEntry
from eventstore.domain.messages import Event
from eventstore.domain.playlists import PlaylistEntry, PlaylistItemEntry
from eventstore.domain.plays import PlayEntry
from eventstore.domain.privacy import PrivacyEntry, scope_of
from eventstore.domain.retention import TakeCheckpoint
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import Entry, SyncData, SyncUserData
from eventstore.domain.user import User, decide
from tests.domain.scenarios import ALICE, FEEDS, ITEMS, NOON, folded, synced

MIX, GYM = UUID("111a0000-0000-4000-8000-000000000000"), UUID("222b0000-0000-4000-8000-000000000000")
FIELDS = SyncData.__struct_fields__


class Key(NamedTuple):
    topic: str
    name: str


def key_of(entry: Entry) -> Key:
    match entry:
        case SubscriptionEntry():
            return Key("subscriptions", entry.rss_source_feed)
        case PlayEntry():
            return Key("play_statuses", entry.rss_source_item)
        case SavedEpisodeEntry():
            return Key("saved_episodes", entry.rss_source_item)
        case PlaylistEntry():
            return Key("playlists", str(entry.id))
        case CollectionEntry():
            return Key("collections", str(entry.id))
        case PrivacyEntry():
            return Key("privacy_settings", scope_of(entry.rss_source_feed, entry.rss_source_item))


def payload(entries: Iterable[Entry], cursor_now: datetime = NOON) -> SyncUserData:
    topics: dict[str, list[Any]] = {name: [] for name in FIELDS}
    for entry in entries:
        topics[key_of(entry).topic].append(entry)
    return SyncUserData(user_id=ALICE, now=cursor_now, **topics)


def entries_of(data: SyncData) -> list[Entry]:
    return [entry for name in FIELDS for entry in getattr(data, name)]


def shown(entry: Entry) -> object:
    """What a listener sees of an entry, whatever its times."""
    match entry:
        case SubscriptionEntry():
            return is_on(entry.subscribed_at, entry.unsubscribed_at)
        case PlayEntry():
            return entry.position, entry.played, entry.rss_source_feed
        case SavedEpisodeEntry():
            return is_on(entry.saved_at, entry.unsaved_at)
        case PlaylistEntry():
            items = sorted(entry.items, key=lambda item: (item.position is None, item.position or 0))
            inside = [item.rss_source_item for item in items if is_on(item.added_at, item.removed_at)]
            there = is_on(entry.updated_at, entry.deleted_at)
            return (entry.name, entry.description, entry.is_public, inside) if there else None
        case CollectionEntry():
            feeds = sorted(entry.feeds, key=lambda feed: (feed.position is None, feed.position or 0))
            inside = [feed.rss_source_feed for feed in feeds if is_on(feed.added_at, feed.removed_at)]
            there = is_on(entry.updated_at, entry.deleted_at)
            return (entry.name, entry.color, entry.is_public, inside) if there else None
        case PrivacyEntry():
            return entry.privacy


def is_on(on: datetime | None, off: datetime | None) -> bool:
    return on is not None and (off is None or on >= off)


def view(entries: Iterable[Entry]) -> dict[Key, object]:
    return {key_of(entry): shown(entry) for entry in entries}


class Server:
    def __init__(self) -> None:
        self.log: list[Event] = []
        self.user = User(ALICE)

    def sync(self, sent: list[Entry], cursor: int) -> tuple[list[Entry], int]:
        """What the device lacks, the values that won over its own included, and its next cursor."""
        command = payload(sent)
        self.log += synced(self.user, command)
        lost = [conflict.server for conflict in sync.conflicts(self.user, command)]
        return [*lost, *entries_of(sync.document(self.user, self.log[cursor:]))], len(self.log)


class Device:
    """Remembers one entry per key: its own last action, until the server says otherwise."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cursor = 0
        self.known: dict[Key, Entry] = {}
        self.unsent: list[Entry] = []

    def act(self, entry: Entry) -> None:
        self.known[key_of(entry)] = entry
        self.unsent.append(entry)

    def sync(self, *, answer_lost: bool = False) -> None:
        news, cursor = self.server.sync(self.unsent, self.cursor)
        if answer_lost:
            return
        self.known |= {key_of(entry): entry for entry in news}
        self.cursor, self.unsent = cursor, []


# a device's clock: right, a minute behind, or up to a year off
errors = st.sampled_from([0, -1, 1, 600, -525_600, 525_600]).map(lambda minutes: timedelta(minutes=minutes))
moments = st.integers(0, 5).map(lambda minutes: NOON - timedelta(minutes=minutes))
maybe = st.none() | moments
members = st.lists(
    st.tuples(st.integers(0, 1), moments, maybe), max_size=2, unique_by=lambda member: member[0]
)


def playlist(
    name: str, public: bool, at: datetime, gone: datetime | None, inside: list[Any]
) -> PlaylistEntry:
    items = [
        PlaylistItemEntry(FEEDS[0], ITEMS[number], None, None, place, added, removed)
        for place, (number, added, removed) in enumerate(inside)
    ]
    return PlaylistEntry(MIX, name, at, None, public, gone, items)


def collection(
    of: UUID, name: str, at: datetime, gone: datetime | None, inside: list[Any]
) -> CollectionEntry:
    feeds = [
        CollectionFeedEntry(FEEDS[number], place, added, removed)
        for place, (number, added, removed) in enumerate(inside)
    ]
    return CollectionEntry(of, name, at, None, "#aabbcc", False, of == default_id(ALICE), gone, feeds)


names = st.sampled_from(["Mix", "Walk"])
actions: st.SearchStrategy[Entry] = st.one_of(
    moments.map(lambda at: SubscriptionEntry(FEEDS[0], None, at, None)),
    moments.map(lambda at: SubscriptionEntry(FEEDS[0], None, None, at)),
    st.builds(
        PlayEntry,
        rss_source_feed=st.just(FEEDS[0]),
        rss_source_item=st.sampled_from(ITEMS),
        position=st.integers(0, 2),
        played=st.booleans(),
        updated_at=moments,
    ),
    moments.map(lambda at: SavedEpisodeEntry(FEEDS[0], ITEMS[0], at, None)),
    moments.map(lambda at: SavedEpisodeEntry(FEEDS[0], ITEMS[0], None, at)),
    st.builds(playlist, names, st.booleans(), moments, maybe, members),
    st.builds(collection, st.just(GYM), names, moments, maybe, members),
    st.builds(
        PrivacyEntry,
        privacy=st.sampled_from(["public", "anonymous", "private", None]),
        updated_at=moments,
        rss_source_feed=st.none() | st.just(FEEDS[0]),
        rss_source_item=st.none() | st.just(ITEMS[0]),
    ),
)


class Step(NamedTuple):
    device: int
    what: Entry | str


steps = st.builds(
    Step, st.integers(0, 2), st.one_of(actions, actions, st.sampled_from(["sync", "answer lost"]))
)


def off_by(error: timedelta, entry: Entry) -> Entry:
    """The entry as a device says it whose clock is off by ``error``."""

    def shifted(value: Any) -> Any:
        match value:
            case datetime():
                return value + error
            case list():
                return [off_by(error, one) for one in value]
        return value

    fields: dict[str, Any] = {name: shifted(getattr(entry, name)) for name in entry.__struct_fields__}
    return msgspec.structs.replace(entry, **fields)


def take(step: Step, device: Device, error: timedelta) -> None:
    if isinstance(step.what, str):
        device.sync(answer_lost=step.what != "sync")
    else:
        device.act(off_by(error, step.what))


@given(st.integers(2, 3), st.lists(errors, min_size=3, max_size=3), st.lists(steps, max_size=20))
def test_after_a_last_sync_every_device_sees_what_the_server_has(
    count: int, clocks: list[timedelta], history: list[Step]
) -> None:
    server = Server()
    devices = [Device(server) for _ in range(count)]
    for step in history:
        take(step, devices[step.device % count], clocks[step.device % count])
    for device in [*devices, *devices]:
        device.sync()
    stands = view(entries_of(sync.document(server.user)))
    for device in devices:
        assert view(device.known.values()) == stands
    assert folded(server.log) == server.user


@given(st.lists(steps, max_size=12), st.permutations(range(3)))
def test_the_order_in_which_devices_come_back_does_not_matter(history: list[Step], order: list[int]) -> None:
    offline = [step for step in history if not isinstance(step.what, str)]
    ends = []
    for turns in (range(3), order):
        server = Server()
        devices = [Device(server) for _ in range(3)]
        for step in offline:
            take(step, devices[step.device], timedelta())
        for number in turns:
            devices[number].sync()
        ends.append(view(entries_of(sync.document(server.user))))
    assert ends[0] == ends[1]


@given(st.lists(st.tuples(errors, actions), max_size=8), st.randoms())
def test_the_same_payload_twice_in_whatever_order_records_nothing(
    said: list[tuple[timedelta, Entry]], shuffle: Any
) -> None:
    sent = [off_by(error, entry) for error, entry in said]
    server = Server()
    server.sync(sent, 0)
    recorded = len(server.log)
    again = [*sent, *sent]
    shuffle.shuffle(again)
    server.sync(again, 0)
    assert server.log[recorded:] == []


@given(st.lists(actions, max_size=8))
def test_what_the_server_gives_out_records_nothing_when_it_comes_back(sent: list[Entry]) -> None:
    server = Server()
    server.sync(sent, 0)
    recorded = len(server.log)
    server.sync(entries_of(sync.document(server.user)), 0)
    assert server.log[recorded:] == []


@given(st.lists(actions, max_size=8), st.lists(actions, max_size=8))
def test_a_stream_folds_the_same_from_its_checkpoint(before: list[Entry], after: list[Entry]) -> None:
    server = Server()
    server.sync(before, 0)
    covered = len(server.log)
    command = TakeCheckpoint(user_id=ALICE, now=NOON, before=NOON - timedelta(days=45))
    [checkpoint] = decide(server.user, command)
    server.sync(after, 0)
    assert folded([checkpoint, *server.log[covered:]]) == server.user
