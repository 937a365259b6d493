"""All topics in one sync: devices converge, with any clocks and with syncs in any order, repeated or late."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import sync
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.registers import LastWriter, OnOff
from eventstore.domain.sync import SyncData, SyncUserData
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS
from eventstore.domain.user import User, decide
from tests.domain.drawn import entries
from tests.domain.scenarios import ALICE, NOON, folded, synced

OF_ENTRY: dict[type, Topic] = {topic.register.entry: topic for topic in TOPICS}
Entry = msgspec.Struct


class Key(NamedTuple):
    topic: str
    name: str


def key_of(entry: Entry) -> Key:
    topic = OF_ENTRY[type(entry)]
    return Key(topic.plural, topic.register.key_of_entry(entry))


def payload(entries: Iterable[Entry], cursor_now: datetime = NOON) -> SyncUserData:
    topics: dict[str, list[Any]] = {topic.plural: [] for topic in TOPICS}
    for entry in entries:
        topics[key_of(entry).topic].append(entry)
    return SyncUserData(user_id=ALICE, now=cursor_now, **topics)


def entries_of(data: SyncData) -> list[Entry]:
    return [entry for topic in TOPICS for entry in getattr(data, topic.plural)]


def shown(entry: Any) -> object:
    """What a listener sees of an entry, whatever its times."""
    register = OF_ENTRY[type(entry)].register
    match register:
        case OrderedSet():
            if not is_on(entry, register):
                return None
            called = [getattr(entry, name) or None for name in register.called.names]
            members = sorted(getattr(entry, register.plural), key=place)
            inside = [register.members.key.read(one) for one in members if is_on(one, register.members)]
            return called, inside
        case OnOff():
            return is_on(entry, register)
        case LastWriter():
            return register.shown(register.from_entry(entry, ALICE))
    raise TypeError(type(register).__name__)


def place(member: Any) -> tuple[bool, int, str]:
    return (member.position is None, member.position or 0, member.rss_source_feed)


def is_on(entry: Any, register: OnOff[Any]) -> bool:
    on, off = getattr(entry, register.on), getattr(entry, register.off)
    return on is not None and (off is None or on >= off)


def view(entries: Iterable[Entry]) -> dict[Key, object]:
    return {key_of(entry): shown(entry) for entry in entries}


class Server:
    def __init__(self) -> None:
        self.log: list[Event] = []
        self.user = User(ALICE)

    def sync(self, sent: list[Entry], cursor: int) -> tuple[list[Entry], int]:
        """The entries that the device lacks, including those that won over its own, and its next cursor."""
        command = payload(sent)
        self.log += synced(self.user, command)
        winners = [conflict.server for conflict in sync.conflicts(self.user, command)]
        return [*winners, *entries_of(sync.to_entries(self.user, self.log[cursor:]))], len(self.log)


class Device:
    """A device that keeps one entry per key: its own last action, until the server says otherwise."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cursor = 0
        self.known: dict[Key, Entry] = {}
        self.unsent: list[Entry] = []

    def act(self, entry: Entry) -> None:
        self.known[key_of(entry)] = entry
        self.unsent.append(entry)

    def sync(self, *, answer_lost: bool = False) -> None:
        changes, cursor = self.server.sync(self.unsent, self.cursor)
        if answer_lost:
            return
        self.known |= {key_of(entry): entry for entry in changes}
        self.cursor, self.unsent = cursor, []


# the error of a device's clock: none, a minute behind, or up to a year off
errors = st.sampled_from([0, -1, 1, 600, -525_600, 525_600]).map(lambda minutes: timedelta(minutes=minutes))
actions: st.SearchStrategy[Entry] = st.one_of([entries(topic) for topic in TOPICS])


class Step(NamedTuple):
    device: int
    what: Entry | str


steps = st.builds(
    Step, st.integers(0, 2), st.one_of(actions, actions, st.sampled_from(["sync", "answer lost"]))
)


def off_by(error: timedelta, entry: Entry) -> Entry:
    """The entry as sent by a device whose clock is off by ``error``."""

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
    current = view(entries_of(sync.to_entries(server.user)))
    for device in devices:
        assert view(device.known.values()) == current
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
        ends.append(view(entries_of(sync.to_entries(server.user))))
    assert ends[0] == ends[1]


@given(st.lists(st.tuples(errors, actions), max_size=8), st.randoms())
def test_the_same_payload_twice_in_whatever_order_records_nothing(
    acted: list[tuple[timedelta, Entry]], shuffle: Any
) -> None:
    sent = [off_by(error, entry) for error, entry in acted]
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
    server.sync(entries_of(sync.to_entries(server.user)), 0)
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
