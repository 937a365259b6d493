"""Two or three devices, each with its own memory, converge however their actions and syncs interleave."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import plays, subscriptions, sync
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayEntry
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncUserData
from eventstore.domain.user import User
from tests.domain.scenarios import ALICE, FEEDS, ITEMS, NEWS, NOON, folded, synced


class Server:
    """A stream and its state; a device's cursor is the number of events that it has seen."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.user = User(ALICE)


class Device:
    """A device that stores entries of the domain, and sends what changed since its last sync."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cursor = 0
        self.subscriptions: list[SubscriptionEntry] = []
        self.plays: list[PlayEntry] = []
        self.unsent: list[SubscriptionEntry | PlayEntry] = []

    def act(self, entry: SubscriptionEntry | PlayEntry) -> None:
        self._keep([entry])
        self.unsent.append(entry)

    def sync(self, *, answer_lost: bool = False) -> None:
        payload = SyncUserData(
            user_id=ALICE,
            now=NOON,
            subscriptions=[entry for entry in self.unsent if isinstance(entry, SubscriptionEntry)],
            play_statuses=[entry for entry in self.unsent if isinstance(entry, PlayEntry)],
        )
        self.server.log += synced(self.server.user, payload)
        if answer_lost:
            return
        changes = sync.to_entries(self.server.user, self.server.log[self.cursor :])
        self._keep([*changes.subscriptions, *changes.play_statuses])
        self.cursor = len(self.server.log)
        self.unsent.clear()

    def merged_state(self) -> object:
        return subscriptions.REGISTER.merge_payload(self.subscriptions, ALICE), plays.REGISTER.merge_payload(
            self.plays, ALICE
        )

    def _keep(self, entries: Sequence[SubscriptionEntry | PlayEntry]) -> None:
        self.subscriptions += [entry for entry in entries if isinstance(entry, SubscriptionEntry)]
        self.plays += [entry for entry in entries if isinstance(entry, PlayEntry)]


def merged(follows: list[SubscriptionEntry], heard: list[PlayEntry]) -> object:
    """The result of merging these entries."""
    return subscriptions.REGISTER.merge_payload(follows, ALICE), plays.REGISTER.merge_payload(heard, ALICE)


class Step(NamedTuple):
    """What one device does next: an action at a minute, a sync, or a sync whose answer is lost."""

    device: int
    what: str
    key: int = 0
    minute: int = 0
    position: int = 0


steps = st.builds(
    Step,
    device=st.integers(0, 2),
    what=st.sampled_from(["subscribe", "leave", "hear", "hear it all", "sync", "sync, answer lost"]),
    key=st.integers(0, 1),
    # few minutes, so that devices often act in the same one
    minute=st.integers(0, 4),
    position=st.integers(0, 2),
)


def take(step: Step, devices: list[Device]) -> None:
    device = devices[step.device % len(devices)]
    at = NOON - timedelta(minutes=step.minute)
    feed, item = FEEDS[step.key], ITEMS[step.key]
    match step.what:
        case "subscribe":
            device.act(SubscriptionEntry(feed, None, at, None))
        case "leave":
            device.act(SubscriptionEntry(feed, None, None, at))
        case "hear" | "hear it all":
            device.act(PlayEntry(NEWS, item, step.position, step.what == "hear it all", at))
        case "sync":
            device.sync()
        case _:
            device.sync(answer_lost=True)


@given(st.integers(2, 3), st.lists(steps, max_size=25))
def test_after_a_last_sync_every_device_knows_what_the_server_does(count: int, history: list[Step]) -> None:
    server = Server()
    devices = [Device(server) for _ in range(count)]
    for step in history:
        take(step, devices)
    for device in [*devices, *devices]:
        device.sync()

    everything = sync.to_entries(server.user)
    current = (
        subscriptions.REGISTER.merge_payload(everything.subscriptions, ALICE),
        plays.REGISTER.merge_payload(everything.play_statuses, ALICE),
    )
    assert [device.merged_state() for device in devices] == [current] * count
    assert folded(server.log) == server.user


@given(st.lists(steps, max_size=15), st.permutations(range(3)))
def test_the_order_in_which_devices_come_back_from_offline_does_not_matter(
    history: list[Step], order: list[int]
) -> None:
    offline = [step for step in history if not step.what.startswith("sync")]
    ends = []
    for turns in (range(3), order):
        server = Server()
        devices = [Device(server) for _ in range(3)]
        for step in offline:
            take(step, devices)
        for number in turns:
            devices[number].sync()
        ends.append((server.user.subscriptions, server.user.plays))
    assert ends[0] == ends[1]


def test_what_was_written_between_two_syncs_of_one_instant_is_not_missed() -> None:
    server = Server()
    phone, tablet = Device(server), Device(server)
    phone.sync()
    tablet.act(PlayEntry(NEWS, ITEMS[0], 1, False, NOON))
    tablet.sync()
    tablet.act(PlayEntry(NEWS, ITEMS[1], 2, False, NOON))
    phone.sync()
    tablet.sync()
    phone.sync()
    assert phone.merged_state() == tablet.merged_state()
    known = plays.REGISTER.merge_payload(phone.plays, ALICE)
    assert set(known) == {episode_key(NEWS, item) for item in ITEMS}


def test_what_an_old_action_changed_reaches_the_others_by_arrival() -> None:
    server = Server()
    phone, tablet = Device(server), Device(server)
    phone.act(SubscriptionEntry(FEEDS[1], None, NOON, None))
    phone.sync()
    tablet.act(SubscriptionEntry(NEWS, None, NOON - timedelta(days=7), None))
    tablet.sync()
    phone.sync()
    assert phone.merged_state() == tablet.merged_state()
