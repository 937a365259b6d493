"""Nothing is public of a feed that its publisher or the operator blocks, whatever its listeners' levels."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from eventstore import log, marks
from eventstore.domain.checkpoint import Marker
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Event
from eventstore.domain.privacy import Level
from projections import exposure, public
from projections.connect import Connection
from tests.api.devices import feed, item
from tests.privacy.acts import KINDS, PATHS, Act, account, level, perform, seen
from tests.privacy.test_noninterference import ALICE, BOB, XAVER, YVONNE, ZOE, doings, interleaved, lead
from tests.projecting import lagging_projectors
from tests.projections.conftest import Project
from tests.projections.histories import dump, marked, played, record, subscribed
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")
NEWS, OTHER, ITEM = feed(2), feed(1), item(1)
# listeners whose acts are shown, with or without their names
SEEN = [ALICE, BOB, XAVER, YVONNE, ZOE]
LEVELS: list[Level] = ["public", "anonymous", "private"]
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)

# without "move", which always stays within one feed
acts = st.builds(
    Act,
    st.sampled_from([kind for kind in KINDS if kind != "move"]),
    st.just(NEWS),
    st.sampled_from([item(3), item(4)]),
    st.integers(0, 300),
)
blocked_doings = st.lists(st.tuples(st.sampled_from(SEEN), acts), min_size=1, max_size=8)
rarely = examples(5)


@rarely
@given(doings, blocked_doings, st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_what_anybody_does_with_a_blocked_feed_changes_nothing(
    connection: Connection,
    others: list[tuple[UUID, Act]],
    theirs: list[tuple[UUID, Act]],
    places: list[int],
) -> None:
    others = [(user, act) for user, act in others if act.feed != NEWS]
    did = interleaved(others, [act.by(user) for user, act in theirs], places)
    without = lead(connection, interleaved(others, [], places))
    for before in (0, len(did) // 2, len(did)):
        assert lead(connection, [*did[:before], marked(NEWS, by="publisher"), *did[before:]]) == without


def test_a_block_and_its_end_reach_rows_figures_and_people_at_once(
    connection: Connection, project: Project
) -> None:
    account("alice", 1)
    anonymous = [event for user in (BOB, YVONNE, ZOE) for event in (level("anonymous", user), follows(user))]
    shown = [level("public", ALICE), follows(ALICE), played(ALICE, ITEM, feed=NEWS)]
    perform([*anonymous, *shown], pause=100)
    before = dump(connection)
    assert len(before["public_events"]) == 5
    for by in get_args(Marker):
        record(marked(NEWS, by=by))
        project()
        # the worker has not run: readers get the current state
        assert seen("timeline")["events"] == []
        assert seen("trending/podcasts") == {"podcasts": []}
        assert seen("trending/episodes") == {"episodes": []}
        for popularity in (seen(f"podcast/{NEWS}/popularity"), seen(f"episode/{ITEM}/popularity")):
            assert (
                popularity["score"],
                popularity["plays"],
                popularity["subscribers"],
                popularity["people"],
            ) == (0, 0, 0, [])
        assert {row.level for row in exposure.activity(ALICE).rows} == {"private"}
        record(marked(NEWS, blocked=False, by=by, at=1))
        project()
        assert seen("trending/podcasts")["podcasts"][0]["people"] == [{"username": "alice"}]
        assert seen(f"podcast/{NEWS}/popularity")["subscribers"] == 4
        assert dump(connection) == before


def follows(user: UUID) -> Event:
    return subscribed(user, NEWS)


def test_a_lift_brings_back_what_the_levels_let_out_now(connection: Connection, project: Project) -> None:
    record(level("public", ALICE), follows(ALICE), level("public", BOB), follows(BOB), marked(NEWS))
    project()
    record(level("private", ALICE, NEWS, at=1), level("public", ZOE), follows(ZOE))
    project()
    assert connection.execute("SELECT user_id FROM public.public_events").fetchall() == []
    record(marked(NEWS, blocked=False))
    project()
    shown = connection.execute("SELECT user_id FROM public.public_events ORDER BY 1").fetchall()
    assert shown == [(BOB,), (ZOE,)]


def test_of_two_who_block_a_feed_both_must_lift_it(project: Project) -> None:
    record(level("public", ALICE), follows(ALICE), marked(NEWS), marked(NEWS, by="publisher"))
    for by in get_args(Marker):
        project()
        assert public.timeline(10)[0] == []
        record(marked(NEWS, blocked=False, by=by))
    project()
    assert len(public.timeline(10)[0]) == 1


@pytest.mark.parametrize("scope", [(None, None), (NEWS, None), (None, ITEM)])
@pytest.mark.parametrize("to", LEVELS)
def test_no_level_shows_anything_of_it(
    project: Project, scope: tuple[str | None, str | None], to: Level
) -> None:
    record(marked(NEWS), played(ALICE, ITEM, feed=NEWS))
    project()
    record(level(to, ALICE, *scope))
    project()
    assert public.timeline(10) == ([], None)


def test_the_same_item_of_another_feed_is_shown(project: Project, connection: Connection) -> None:
    """It is another episode, and reveals nothing about the blocked one."""
    twice = [played(ALICE, ITEM, feed=OTHER, at=1), played(ALICE, ITEM, feed=NEWS, at=2)]
    record(level("public", ALICE), *twice, marked(NEWS))
    project()
    assert [row.rss_source_feed for row in public.timeline(10)[0]] == [OTHER]


def test_while_the_projector_lags_nothing_is_shown_rather_than_a_blocked_feed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(level("public", ALICE), played(ALICE, ITEM, feed=NEWS))
    project()
    assert public.timeline(10)[0]
    position = marks.mark(NEWS, "publisher", AT, blocked=True)
    with lagging_projectors(monkeypatch) as waited:
        for path in PATHS:
            assert Client().get(f"/api/v1/public/{path}").status_code == 503
    assert waited == [position] * len(PATHS)
    project()
    assert public.timeline(10) == ([], None)


def test_a_mark_is_recorded_once_and_lifted_by_who_made_it() -> None:
    assert marks.mark(NEWS, "publisher", AT, blocked=False) is None
    first = marks.mark(NEWS, "publisher", AT, blocked=True)
    assert first is not None
    assert marks.mark(NEWS, "publisher", AT, blocked=True) is None
    assert marks.mark(NEWS, "operator", AT, blocked=False) is None
    assert marks.mark(OTHER, "publisher", AT, blocked=True) == log.head() > first
    assert {(mark.feed_key, mark.blocked) for mark in marks.feed_marks()} == {
        (UUID(key_of(name)), True) for name in (NEWS, OTHER)
    }
    lifted = marks.mark(NEWS, "publisher", AT, blocked=False)
    assert lifted == log.head() == log.privacy_fence()
    assert [mark.blocked for mark in marks.feed_marks(UUID(key_of(NEWS)))] == [False]


def test_a_mark_names_no_feed(connection: Connection, project: Project) -> None:
    """A mark outlives the feed's listeners, and the address may contain the secret key of one of them."""
    marks.mark(NEWS, "publisher", AT, blocked=True)
    project()
    (event,) = log.read_all(0, 10)
    rows = connection.execute("SELECT kept::text FROM users.blocked_feeds kept").fetchall()
    assert NEWS not in event.data + str(rows)
    assert UUID(key_of(NEWS)).hex in str(rows).replace("-", "")
