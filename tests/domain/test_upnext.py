"""Up next: one queue for each listener, from which an episode is removed when it was heard to the end."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import sync
from eventstore.domain.batch import Batch
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Event
from eventstore.domain.naming import EpisodeName
from eventstore.domain.playlists import (
    ITEMS,
    REGISTER,
    AddToPlaylist,
    ClearPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    PlaylistCreated,
    PlaylistEntry,
    PlaylistItemAdded,
    PlaylistItemEntry,
    PlaylistItemRemoved,
    PlaylistReordered,
    RemoveFromPlaylist,
    ReorderPlaylist,
    UpdatePlaylist,
    queue_id,
)
from eventstore.domain.plays import PlayEntry, PlayRecorded, RecordPlay
from eventstore.domain.sync import SyncUserData
from eventstore.domain.undoing import PastEvent, plan
from eventstore.domain.user import User, decide
from tests.domain.scenarios import ALICE, NEWS, NOON, folded, key, minutes, refusal, synced, when

QUEUE, WALK = queue_id(ALICE), UUID(int=1)
ONE, TWO, THREE = (item_of(name, "") for name in ("one", "two", "three"))
ALL = [ONE, TWO, THREE]


def add(item: str, minute: float = 1, playlist: UUID = QUEUE, **more: Any) -> AddToPlaylist:
    return AddToPlaylist(
        user_id=ALICE, playlist_id=playlist, feed=NEWS, item=item, now=minutes(minute), **more
    )


def hear(
    item: str, minute: float, position: int | None = 60, played: bool | None = True, **more: Any
) -> RecordPlay:
    return RecordPlay(
        user_id=ALICE, feed=NEWS, item=item, position=position, played=played, now=minutes(minute), **more
    )


def after(*commands: Any) -> list[Event]:
    user, events = User(ALICE), list[Event]()
    for command in commands:
        decided = decide(user, command)
        folded(decided, user)
        events += decided
    return events


def queued(events: Sequence[Event]) -> list[str]:
    return in_queue(folded(events))


def in_queue(user: User) -> list[str]:
    queue = user.playlists.get(str(QUEUE))
    return [queue.members[name].item for name in REGISTER.arranged(queue)] if queue else []


def test_it_is_made_by_the_first_thing_that_is_done_to_it() -> None:
    made, added = when(add(ONE))
    assert made == PlaylistCreated(
        user_id=ALICE, playlist_id=QUEUE, name="Up next", kind="queue", updated_at=minutes(1)
    )
    assert isinstance(added, PlaylistItemAdded)
    assert folded([made]).playlists[str(QUEUE)].kind == "queue"
    assert [type(each) for each in when(add(TWO, 2), [made, added])] == [PlaylistItemAdded]
    public = UpdatePlaylist(user_id=ALICE, playlist_id=QUEUE, is_public=True, now=minutes(1))
    assert folded(when(public)).playlists[str(QUEUE)].is_public
    assert len(when(ClearPlaylist(user_id=ALICE, playlist_id=QUEUE, now=NOON))) == 1
    named = CreatePlaylist(user_id=ALICE, playlist_id=QUEUE, name="Later", now=NOON)
    assert folded(when(named)).playlists[str(QUEUE)].kind == "queue"


def test_it_is_not_deleted_by_a_command_nor_by_a_sync() -> None:
    delete = DeletePlaylist(user_id=ALICE, playlist_id=QUEUE, now=minutes(9))
    assert refusal(delete) == refusal(delete, after(add(ONE))) == "queue_not_deletable"
    gone = PlaylistEntry(QUEUE, "Up next", minutes(2), deleted_at=minutes(3), kind="list")
    events = after(add(ONE), SyncUserData(user_id=ALICE, now=minutes(4), playlists=[gone]))
    queue = folded(events).playlists[str(QUEUE)]
    assert (queue.kind, queue.deleted_at, queued(events)) == ("queue", None, [ONE])
    liar = PlaylistEntry(WALK, "Walk", minutes(2), kind="queue")
    made = folded(after(SyncUserData(user_id=ALICE, now=minutes(4), playlists=[liar])))
    assert made.playlists[str(WALK)].kind == "list"


def test_an_episode_is_put_first_or_last_also_where_it_is_in_already() -> None:
    events = after(add(ONE, 1, place="last"), add(TWO, 2, place="first"), add(THREE, 3, place="last"))
    assert queued(events) == [TWO, ONE, THREE]
    assert queued([*events, *when(add(THREE, 4, place="first"), events)]) == [THREE, TWO, ONE]
    assert queued([*events, *when(add(TWO, 4, place="last"), events)]) == [ONE, THREE, TWO]
    assert when(add(TWO, 4, place="first"), events) == []
    assert when(add(TWO, 4), events) == []
    # an item added again as last goes to the end, not to the place that it had before it was removed
    out = RemoveFromPlaylist(user_id=ALICE, playlist_id=QUEUE, feed=NEWS, item=TWO, now=minutes(5))
    again = [*events, *when(out, events)]
    assert queued([*again, *when(add(TWO, 6, place="last"), again)]) == [ONE, THREE, TWO]
    walk = [CreatePlaylist(user_id=ALICE, playlist_id=WALK, name="Walk", now=NOON), add(ONE, 1, WALK)]
    first = after(*walk, add(TWO, 2, WALK, place="first"))
    assert isinstance(first[-1], PlaylistReordered)


def test_what_is_heard_to_the_end_leaves_it_in_the_same_append() -> None:
    events = after(add(ONE), add(TWO, 2))
    recorded, removed = when(hear(ONE, 5), events)
    assert isinstance(recorded, PlayRecorded)
    assert removed == PlaylistItemRemoved(
        user_id=ALICE, playlist_id=QUEUE, rss_source_feed=NEWS, rss_source_item=ONE, removed_at=minutes(5)
    )
    assert queued([*events, recorded, removed]) == [TWO]
    near_end = hear(ONE, 5, position=590, played=None, total=600)
    assert len(when(near_end, events)) == 2
    batch = Batch(user_id=ALICE, now=minutes(5), orders=(near_end, hear(TWO, 5)))
    assert queued([*events, *when(batch, events)]) == []
    # added again, and heard again
    again = [*events, recorded, removed, *when(add(ONE, 6), [*events, recorded, removed])]
    assert queued(again) == [TWO, ONE]
    assert queued([*again, *when(hear(ONE, 7), again)]) == [TWO]


def test_what_is_merely_begun_or_was_heard_once_stays_in_it() -> None:
    events = after(hear(ONE, 0), add(ONE, 1))
    for command in (
        hear(ONE, 5, played=False),
        # a car reports no position and an app only a position: both keep the fact that it was heard once
        hear(ONE, 5, position=None, played=None),
        hear(ONE, 5, position=100, played=None, total=600),
        hear(TWO, 5),
    ):
        assert queued([*events, *when(command, events)]) == [ONE], command
    # heard before it was added, as reported later by a device that was offline
    assert queued([*events, *when(hear(ONE, 9, at=minutes(0.5)), events)]) == [ONE]


def test_a_clock_that_is_ahead_keeps_nothing_in_it() -> None:
    events = after(add(ONE, 1, at=minutes(4)))
    assert queued([*events, *when(hear(ONE, 2), events)]) == []


def test_a_sync_takes_out_what_it_says_is_heard_whichever_comes_first() -> None:
    play = SyncUserData(
        user_id=ALICE, now=minutes(9), play_statuses=[PlayEntry(NEWS, ONE, 60, True, minutes(5))]
    )
    item = PlaylistItemEntry(NEWS, ONE, added_at=minutes(2))
    put = SyncUserData(
        user_id=ALICE, now=minutes(9), playlists=[PlaylistEntry(QUEUE, "Up next", minutes(2), items=[item])]
    )
    both = msgspec.structs.replace(play, playlists=put.playlists)
    states = [folded(after(*commands)).playlists for commands in ((play, put), (put, play), (both,))]
    assert states[0] == states[1] == states[2]
    assert queued(after(play, put)) == []
    offline = add(ONE, 9, at=minutes(2))
    assert queued(after(play, offline)) == []
    assert queued(after(play, add(ONE, 9))) == [ONE]


def test_it_is_cleared_and_brought_back_in_its_order() -> None:
    order = ReorderPlaylist(
        user_id=ALICE,
        playlist_id=QUEUE,
        items=(EpisodeName(NEWS, TWO), EpisodeName(NEWS, ONE)),
        now=minutes(3),
    )
    events = after(add(ONE), add(TWO, 2), order, add(THREE, 4))
    before = queued(events)
    clear = ClearPlaylist(user_id=ALICE, playlist_id=QUEUE, now=minutes(5))
    events += when(clear, events)
    assert queued(events) == []
    events += when(add(ONE, 6, place="first"), events)
    cleared = [isinstance(event, PlaylistItemRemoved) for event in events]
    past = [PastEvent(event, is_chosen) for event, is_chosen in zip(events, cleared, strict=True)]
    back = [one.event for one in plan(past, folded(events), None, minutes(7)).events]
    assert queued([*events, *back]) == before == [TWO, ONE, THREE]


class Step(NamedTuple):
    device: int
    what: str
    number: int


class Device:
    """A device that knows what it was told last, changes that, and sends the changes when it is online."""

    def __init__(self) -> None:
        self.queue = PlaylistEntry(QUEUE, "Up next", NOON)
        self.plays: dict[str, PlayEntry] = {}
        self.cursor = 0

    def act(self, step: Step, at: datetime) -> None:
        item = ALL[step.number % 3]
        match step.what:
            case "add":
                self._said(item, lambda of: msgspec.structs.replace(of, added_at=at))
            case "remove":
                self._said(item, lambda of: msgspec.structs.replace(of, removed_at=at))
            case "finish":
                self.plays[item] = PlayEntry(NEWS, item, 60, True, at)
            case "reorder":
                turn = step.number % max(1, len(self.queue.items))
                items = [*self.queue.items[turn:], *self.queue.items[:turn]]
                placed = [msgspec.structs.replace(of, position=n) for n, of in enumerate(items)]
                self.queue = msgspec.structs.replace(self.queue, items=placed, updated_at=at)

    def _said(self, item: str, change: Callable[[PlaylistItemEntry], PlaylistItemEntry]) -> None:
        items = {of.rss_source_item: of for of in self.queue.items}
        items[item] = change(items.get(item) or PlaylistItemEntry(NEWS, item))
        self.queue = msgspec.structs.replace(self.queue, items=list(items.values()))

    def sync(self, user: User, log: list[Event]) -> None:
        sent = SyncUserData(
            user_id=ALICE, now=minutes(1_000), playlists=[self.queue], play_statuses=list(self.plays.values())
        )
        log += synced(user, sent)
        entries = sync.to_entries(user)
        [self.queue] = entries.playlists
        self.plays = {of.rss_source_item: of for of in entries.play_statuses}


steps = st.builds(
    Step,
    st.integers(0, 1),
    st.sampled_from(["add", "add", "remove", "finish", "reorder", "sync"]),
    st.integers(0, 5),
)


def seen(entry: PlaylistEntry) -> list[str]:
    items = sorted(entry.items, key=lambda of: (of.position is None, of.position or 0))
    return [of.rss_source_item for of in items if ITEMS.is_on(ITEMS.from_entry(of, ALICE))]


def played_out(
    history: list[Step], turns: Sequence[int], *, is_online: bool
) -> tuple[User, list[Device], list[Event]]:
    user, devices, log = User(ALICE), [Device(), Device()], list[Event]()
    for number, step in enumerate(history):
        if step.what != "sync":
            devices[step.device].act(step, minutes(number))
        elif is_online:
            devices[step.device].sync(user, log)
    for turn in (*turns, *turns):
        devices[turn].sync(user, log)
    return user, devices, log


@given(st.lists(steps, max_size=25))
def test_two_devices_that_reorder_it_offline_end_with_the_same(history: list[Step]) -> None:
    user, devices, log = played_out(history, (0, 1), is_online=True)
    assert seen(devices[0].queue) == seen(devices[1].queue) == in_queue(user)
    assert folded(log) == user
    finished = {of.rss_source_item: of.updated_at for of in devices[0].plays.values()}
    queue = user.playlists[str(QUEUE)]
    for member in map(queue.members.get, REGISTER.arranged(queue)):
        assert member is not None
        assert member.added_at is not None
        assert member.item not in finished or member.added_at > finished[member.item]
    [taken] = decide(user, TakeCheckpoint(user_id=ALICE, now=minutes(2_000), before=NOON))
    assert in_queue(folded([taken])) == in_queue(user)


@given(st.lists(steps, max_size=15))
def test_which_of_two_offline_devices_comes_back_first_does_not_matter(history: list[Step]) -> None:
    ends = [played_out(history, turns, is_online=False)[0] for turns in ((0, 1), (1, 0))]
    assert in_queue(ends[0]) == in_queue(ends[1])


def test_what_is_known_by_its_file_alone_leaves_it_by_its_guid() -> None:
    file = item_of("", "https://example.org/1.mp3")
    whole = item_of("one", "https://example.org/1.mp3")
    events = after(add(file))
    assert queued([*events, *when(hear(whole, 5), events)]) == []
    assert key(whole) != key(file)
