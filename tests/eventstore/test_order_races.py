"""Race conditions in following: what happens between two reads of a follower, made to happen on purpose.

Each scenario must fail for a follower without the step that the scenario is about; otherwise it would prove
nothing.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from eventstore import log
from eventstore.dispatcher import Origin
from eventstore.follower import Follower, settled_head
from eventstore.log import RecordedEvent
from tests.eventstore.test_order import assert_complete, drained
from tests.eventstore.writers import SlowWriter, appending, connect, plays

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]

Action = Callable[[], None]


class WithoutASecondLook(Follower):
    """A follower that takes the rows of its first read once no writer is left that could fill the gap."""

    def read(self, limit: int = 1000) -> list[RecordedEvent]:
        rows = log.read_all(self.position, limit)
        if not rows:
            return []
        run = self._contiguous(rows)
        return self._deliver(run or ([] if self._gap_may_fill(rows[-1].position) else rows))


class WithoutACeiling(Follower):
    """A follower whose second read has no upper limit."""

    def _gap_may_fill(self, highest: int) -> bool:
        waits = super()._gap_may_fill(highest)
        self._ceiling = log.LAST_POSITION
        return waits


class WithAMovingCeiling(Follower):
    """A follower that waits for the writers that it saw first, and then trusts rows that appeared later."""

    def _gap_may_fill(self, highest: int) -> bool:
        waits = super()._gap_may_fill(highest)
        self._ceiling = highest
        return waits


class ThatListsHoldersFirst(Follower):
    """A follower that lists the writers that may still fill a gap before it reads the rows."""

    def read(self, limit: int = 1000) -> list[RecordedEvent]:
        listed = log.inflight_writers()
        rows = log.read_all(self.position, limit)
        return [] if listed else self._deliver(rows)


class Moments:
    """Actions that run just before certain calls of the store, once each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._before: dict[str, list[Action]] = {"read_all": [], "inflight_writers": [], "head": []}
        for name in self._before:
            monkeypatch.setattr(log, name, self._asked(name, getattr(log, name)))

    def before(self, name: str, *actions: Action) -> None:
        """Run these actions before the next calls of ``name``, one action before each call."""
        self._before[name] += actions

    def _asked(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any, **named: Any) -> Any:
            if self._before[name]:
                self._before[name].pop(0)()
            return real(*arguments, **named)

        return ask


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Moments:
    return Moments(monkeypatch)


def nothing() -> None:
    """Do nothing before this call."""


def draw() -> SlowWriter:
    """Let a writer draw the next position without committing yet."""
    return SlowWriter(log.stream_of(uuid4()), 0, plays(1))


def append() -> int | None:
    return log.append(log.stream_of(uuid4()), 0, plays(2), Origin())


def draw_and_append(slow: list[SlowWriter]) -> None:
    """Draw one position for a writer that is added to ``slow``, and commit an event at the next one."""
    slow.append(draw())
    append()


def committed_between_the_looks(reader: Follower, moments: Moments) -> None:
    """The gap is filled after the rows were read and before the writers are listed, so none is left then."""
    slow = draw()
    append()
    moments.before("inflight_writers", slow.commit)
    assert_complete(drained(reader))


def drawn_before_the_second_look(reader: Follower, moments: Moments) -> None:
    """The gap is never filled; a new one opens further up before the second read."""
    draw().roll_back()
    append()
    later: list[SlowWriter] = []
    moments.before("read_all", nothing, lambda: draw_and_append(later))
    delivered = reader.read()
    later[0].commit()
    assert_complete(delivered + drained(reader))


def drawn_while_it_waits(reader: Follower, moments: Moments) -> None:
    """A second gap opens above the first while the follower waits for the first."""
    slow = draw()
    append()
    assert reader.read() == []
    later = draw()
    append()
    slow.roll_back()
    delivered = reader.read() + reader.read()
    later.commit()
    assert_complete(delivered + drained(reader))


def drawn_after_the_holders_were_listed(reader: Follower, moments: Moments) -> None:
    """A follower that lists writers before reading does not know those that drew a position in between."""
    later: list[SlowWriter] = []
    moments.before("read_all", lambda: draw_and_append(later))
    delivered = reader.read()
    later[0].commit()
    assert_complete(delivered + drained(reader))


SCENARIOS: list[tuple[Callable[[Follower, Moments], None], type[Follower]]] = [
    (committed_between_the_looks, WithoutASecondLook),
    (drawn_before_the_second_look, WithoutACeiling),
    (drawn_while_it_waits, WithAMovingCeiling),
    (drawn_after_the_holders_were_listed, ThatListsHoldersFirst),
]


@pytest.mark.parametrize("scenario", [scenario for scenario, _ in SCENARIOS])
def test_a_follower_loses_nothing_in_between(
    scenario: Callable[[Follower, Moments], None], moments: Moments
) -> None:
    scenario(Follower(), moments)


@pytest.mark.parametrize(("scenario", "sabotaged"), SCENARIOS)
def test_the_scenario_turns_red_for_the_follower_that_it_is_about(
    scenario: Callable[[Follower, Moments], None], sabotaged: type[Follower], moments: Moments
) -> None:
    with pytest.raises(AssertionError, match="skipped"):
        scenario(sabotaged(), moments)


def test_it_crosses_a_gap_while_others_write_without_a_pause(moments: Moments) -> None:
    """Some writer is always active: the follower waits for those of the first read, not for later ones."""
    draw().roll_back()
    last = append()
    others = [draw()]

    def the_next_one_comes_and_the_last_one_goes() -> None:
        others.append(draw())
        others.pop(0).roll_back()

    moments.before("read_all", *[the_next_one_comes_and_the_last_one_goes] * 20)
    reader = Follower()
    delivered = reader.read() or reader.read()
    assert [row.position for row in delivered] == [last]
    others.pop().commit()


def a_gap_and_one_above() -> int | None:
    """Leave a gap that is never filled; return the position after it."""
    draw().roll_back()
    return append()


def test_it_does_not_wait_for_those_who_only_read() -> None:
    """A backup may hold its snapshot for hours."""
    last = a_gap_and_one_above()
    with connect("a backup") as backup:
        backup.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        backup.execute("SELECT count(*) FROM events.events")
        assert [row.position for row in Follower().read()] == [last]


def test_it_does_not_wait_for_those_who_have_not_drawn_yet() -> None:
    """Their lock is not granted, so the positions that they draw later will be higher."""
    last = a_gap_and_one_above()
    stream = log.stream_of(uuid4())
    with connect("an operator") as operator:
        operator.execute("BEGIN")
        operator.execute("LOCK TABLE events.events IN SHARE MODE")
        with appending(stream, 0, plays(3), Origin()) as outcome:
            assert [row.position for row in Follower().read()] == [last]
            operator.execute("COMMIT")
    assert last is not None
    assert outcome == [last + 1]


def test_it_does_not_wait_for_those_who_write_elsewhere() -> None:
    last = a_gap_and_one_above()
    with connect("a neighbour") as neighbour:
        neighbour.execute("CREATE TEMPORARY TABLE theirs (number integer)")
        neighbour.execute("BEGIN")
        neighbour.execute("INSERT INTO theirs VALUES (1)")
        assert [row.position for row in Follower().read()] == [last]


def test_a_head_settles_while_others_write_without_a_pause() -> None:
    others = [draw()]
    last = append()

    def the_next_one_comes_and_the_last_one_goes(seconds: float) -> None:
        others.append(draw())
        others.pop(0).roll_back()
        assert len(pauses) < 20, "never settles"
        pauses.append(seconds)

    pauses: list[float] = []
    assert settled_head(the_next_one_comes_and_the_last_one_goes) == last
    others.pop().roll_back()


def a_hole_below(settle: Callable[[Action], int], moments: Moments, *asked: str) -> None:
    """Check that nothing appears below the settled head, whoever draws before the calls in ``asked``."""
    later: list[SlowWriter] = []

    for name in asked:
        moments.before(name, lambda: draw_and_append(later))
    head = settle(lambda: later.pop(0).commit())
    there = len(log.read_all(0, 100, upto=head))
    while later:
        later.pop().commit()
    assert len(log.read_all(0, 100, upto=head)) == there, "a hole below"


@pytest.mark.parametrize("asked", [["head"], ["inflight_writers"], ["head", "inflight_writers"]])
def test_a_head_is_settled_whoever_draws_between_the_looks(moments: Moments, asked: list[str]) -> None:
    a_hole_below(lambda commit: settled_head(lambda seconds: commit()), moments, *asked)


def test_that_turns_red_when_the_head_is_taken_last(moments: Moments) -> None:
    def taken_last(commit: Action) -> int:
        while log.inflight_writers():
            commit()
        return log.head()

    with pytest.raises(AssertionError, match="a hole below"):
        a_hole_below(taken_last, moments, "head")
