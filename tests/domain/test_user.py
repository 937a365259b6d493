"""The aggregate: deciding is pure, and folding from any stored snapshot equals folding from the start."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event
from eventstore.domain.plays import PlayRecorded, RecordPlay, UpdatePosition
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.user import User, decide, evolve_all
from tests.domain.scenarios import ALICE, FEEDS, ITEMS, NOON, folded, key, minutes, payloads

# times of devices whose clocks are right, a little ahead, or too far ahead to be believed
times = st.none() | st.sampled_from([-60, -1, 0, 4, 6, 90, 500_000]).map(minutes)
nows = st.integers(0, 120).map(minutes)
feeds, items, positions = st.sampled_from(FEEDS), st.sampled_from(ITEMS), st.integers(0, 3)
users = st.just(ALICE)
source_ids = st.none() | st.sampled_from(["", "a", "b"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Subscribe, user_id=users, feed=feeds, now=nows, at=times, source_id=source_ids),
    st.builds(Unsubscribe, user_id=users, feed=feeds, now=nows, at=times),
    st.builds(
        RecordPlay,
        user_id=users,
        feed=feeds,
        item=items,
        position=positions,
        played=st.booleans(),
        now=nows,
        at=times,
    ),
    st.builds(
        UpdatePosition,
        user_id=users,
        item=items,
        position=positions,
        now=nows,
        at=times,
        feed=st.none() | feeds,
    ),
    payloads(),
)
histories = st.lists(commands, max_size=12)


def stored(user: User) -> bytes:
    return msgspec.json.encode(user)


def restored(snapshot: bytes) -> User:
    return msgspec.json.decode(snapshot, type=User)


def decided(user: User, command: Command) -> Sequence[Event] | str:
    """The events of a command, or the code with which it is refused."""
    try:
        return decide(user, command)
    except DomainError as refused:
        return refused.code


def played_out(history: Sequence[Command]) -> list[Event]:
    """The stream that the commands produce; those that are refused add nothing."""
    user, stream = User(ALICE), list[Event]()
    for command in history:
        if not isinstance(events := decided(user, command), str):
            folded(events, user)
            stream += events
    return stream


@given(histories)
def test_folding_equals_folding_from_any_snapshot(history: list[Command]) -> None:
    stream = played_out(history)
    whole = folded(stream)
    for cut in range(len(stream) + 1):
        snapshot = stored(folded(stream[:cut]))
        assert folded(stream[cut:], restored(snapshot)) == whole
        assert stored(folded(stream[cut:], restored(snapshot))) == stored(whole)


@given(histories, commands)
def test_a_decision_from_a_snapshot_is_the_same(history: list[Command], command: Command) -> None:
    user = folded(played_out(history))
    assert decided(restored(stored(user)), command) == decided(user, command)


@given(histories, commands)
def test_deciding_changes_nothing_and_is_repeatable(history: list[Command], command: Command) -> None:
    user = folded(played_out(history))
    before = stored(user)
    first = decided(user, command)
    assert stored(user) == before
    assert decided(user, command) == first


@given(histories, commands)
def test_events_lead_to_the_same_state_in_any_order(history: list[Command], command: Command) -> None:
    """Every value is a maximum over times, so the order in the stream does not matter."""
    stream = played_out([*history, command])
    backwards = folded(list(reversed(stream)))
    assert backwards == folded(stream)
    assert folded([*stream, *stream]) == folded(stream)


@given(histories)
def test_folding_many_events_at_once_is_folding_them_one_by_one(history: list[Command]) -> None:
    # the same types after each other, and some plays named by a device
    stream = sorted(map(with_device, played_out(history)), key=lambda event: type(event).__name__)
    at_once = User(ALICE)
    evolve_all(at_once, stream)
    assert at_once == folded(stream)
    evolve_all(at_once, stream)
    assert at_once == folded(stream, folded(stream))


def with_device(event: Event) -> Event:
    if isinstance(event, PlayRecorded) and event.position % 2:
        return msgspec.structs.replace(event, device="phone")
    return event


@given(histories)
def test_an_action_at_the_server_stands_whatever_devices_said_before(history: list[Command]) -> None:
    """A click has no time of its own: it comes after everything the server knows, however far ahead."""
    user = folded(played_out(history))
    click = Subscribe(user_id=ALICE, feed=FEEDS[0], now=NOON)
    folded(decide(user, click), user)
    assert user.subscriptions[FEEDS[0]].active
    folded(decide(user, Unsubscribe(user_id=ALICE, feed=FEEDS[0], now=NOON)), user)
    assert not user.subscriptions[FEEDS[0]].active
    play = RecordPlay(user_id=ALICE, feed=FEEDS[0], item=ITEMS[0], position=7, played=True, now=NOON)
    folded(decide(user, play), user)
    assert (user.plays[key(ITEMS[0])].position, user.plays[key(ITEMS[0])].played) == (7, True)
    move = UpdatePosition(user_id=ALICE, feed=FEEDS[0], item=ITEMS[0], position=3, now=NOON)
    folded(decide(user, move), user)
    assert (user.plays[key(ITEMS[0])].position, user.plays[key(ITEMS[0])].played) == (3, True)


def test_its_size_is_what_it_holds() -> None:
    history: list[Command] = [Subscribe(user_id=ALICE, feed=feed, now=NOON) for feed in FEEDS]
    later = NOON + timedelta(hours=1)
    history.append(Unsubscribe(user_id=ALICE, feed=FEEDS[0], now=later))
    history += [
        RecordPlay(user_id=ALICE, feed=FEEDS[0], item=item, position=1, played=False, now=NOON)
        for item in ITEMS
    ]
    assert folded(played_out(history)).size == len(FEEDS) + len(ITEMS) + len(["the default collection"])


@pytest.mark.parametrize("snapshot", [b"{}", b"[]", b'{"user_id": 1}', b""])
def test_a_snapshot_of_another_shape_is_not_taken_for_a_state(snapshot: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        restored(snapshot)
