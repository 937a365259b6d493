"""Nothing public depends on private acts, nor on which listener an anonymous act belongs to.

The same history is run twice, with and without a private listener, or with another listener in an anonymous
role: the public answers and the public tables must be the same, byte for byte, apart from random ids.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.domain.messages import Event
from projections.connect import Connection
from tests.conftest import STORES, clear_caches, empty
from tests.privacy.acts import (
    FEEDS,
    ITEMS,
    KINDS,
    Act,
    account,
    everything_seen,
    everything_stored,
    level,
    perform,
)
from tests.projections.histories import minutes
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")

ALICE, BOB, XAVER, YVONNE, ZOE, PAUL = (UUID(int=number) for number in range(1, 7))
NAMES = ("alice", "bob", "xaver", "yvonne", "zoe", "paul")

# long ago or today: only acts of long ago count in the previous score
TODAY = (datetime.now(UTC) - minutes(600)) // timedelta(minutes=1)
hours = st.integers(0, 300) | st.integers(TODAY, TODAY + 300)
acts = st.builds(Act, st.sampled_from(KINDS), st.sampled_from(FEEDS), st.sampled_from(ITEMS), hours)
# the acts of other listeners: Alice and Bob are public, Yvonne and Zoe anonymous
doings = st.lists(st.tuples(st.sampled_from([ALICE, BOB, YVONNE, ZOE]), acts), max_size=12)
hidden = st.lists(acts, min_size=1, max_size=8)
rarely = examples(5)


def initial_levels() -> list[Event]:
    return [
        level("public", ALICE),
        *(level("private", ALICE, feed=feed, item=ITEMS[1]) for feed in FEEDS),
        level("public", BOB),
        level("anonymous", XAVER),
        level("anonymous", YVONNE),
        level("anonymous", ZOE),
        level("anonymous", PAUL, feed=FEEDS[1]),
        level("private", PAUL, feed=FEEDS[1], at=1),
    ]


def interleaved(
    others: Sequence[tuple[UUID, Act]], mine: Iterable[Event], places: Sequence[int]
) -> list[Event]:
    """The acts of all listeners, with my events inserted at these places."""
    life = [act.by(user) for user, act in others]
    for event, place in zip(mine, places, strict=False):
        life.insert(place % (len(life) + 1), event)
    return life


def lead(connection: Connection, *lives: Iterable[Event]) -> tuple[Any, Any]:
    """Run whole histories on empty stores; return the public answers and the public tables.

    The worker runs after each part, and no cached answer is used.
    """
    for alias in STORES:
        empty(alias)
    clear_caches()
    for number, name in enumerate(NAMES, 1):
        account(name, number)
    perform(initial_levels(), pause=100)
    for life in lives:
        perform(life, pause=100)
    found = everything_seen()
    assert not any("max-age" in headers["Cache-Control"] for headers, _ in found.values())
    return found, everything_stored(connection)


# both hear the same episode: drawn examples often have no public listener who shares one with a hidden one
@rarely
@example([(ALICE, Act("play", FEEDS[0], ITEMS[0], 5))], [Act("play", FEEDS[0], ITEMS[0], 15)], [0] * 8)
@given(doings, hidden, st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_what_is_private_or_is_so_again_changes_nothing(
    connection: Connection, others: list[tuple[UUID, Act]], mine: list[Act], places: list[int]
) -> None:
    did = interleaved(others, [act.by(PAUL) for act in mine], places)
    without = lead(connection, interleaved(others, [], places))
    assert lead(connection, did) == without
    # the same if the listener was public for a while, whether or not the worker ran meanwhile
    shows, hides = level("public", PAUL, at=10), level("private", PAUL, at=20)
    assert lead(connection, [*did, shows, hides]) == without
    assert lead(connection, [*did, shows], [hides]) == without


@rarely
@given(doings, hidden, st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_nor_do_the_private_doings_of_somebody_public(
    connection: Connection, others: list[tuple[UUID, Act]], mine: list[Act], places: list[int]
) -> None:
    """Alice hides one episode, and everything of the second feed."""
    hides = [level("private", ALICE, feed=FEEDS[1])]
    others = [(user, act) for user, act in others if user != ALICE]
    private = [
        act._replace(item=ITEMS[1])
        if act.kind not in ("subscribe", "unsubscribe")
        else act._replace(feed=FEEDS[1])
        for act in mine
    ]
    did = lead(connection, hides + interleaved(others, [act.by(ALICE) for act in private], places))
    did_not = lead(connection, hides + interleaved(others, [], places))
    assert did == did_not


@rarely
@given(doings, hidden, st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_nobody_can_tell_one_anonymous_listener_from_another(
    connection: Connection, others: list[tuple[UUID, Act]], mine: list[Act], places: list[int]
) -> None:
    others = [(user, act) for user, act in others if user != YVONNE]
    xaver = lead(connection, interleaved(others, [act.by(XAVER) for act in mine], places))
    yvonne = lead(connection, interleaved(others, [act.by(YVONNE) for act in mine], places))
    assert xaver == yvonne


def test_the_comparison_sees_what_is_public(connection: Connection) -> None:
    """Otherwise the other tests would prove nothing."""
    act = Act("play", FEEDS[0], ITEMS[0], 7)
    nothing, alice, bob, zoe = (
        lead(connection, life) for life in ([], [act.by(ALICE)], [act.by(BOB)], [act.by(ZOE)])
    )
    runs = [nothing, alice, bob, zoe]
    for number, one in enumerate(runs):
        assert all(one[part] != other[part] for other in runs[:number] for part in (0, 1))
