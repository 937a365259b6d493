"""What is public beyond the listener's own state, and what of it the worker keeps."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import dispatcher, log
from eventstore.dispatcher import dispatch
from eventstore.domain.messages import Event, Origin
from eventstore.domain.privacy import ChangePrivacy, Level
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncUserData
from projections import rebuild
from projections.connect import Connection
from projections.projectors import PROJECTORS
from tests.conftest import STORES, clear_caches, empty
from tests.jobs.working import run_worker, state_of
from tests.privacy.acts import FEEDS, ITEMS, KINDS, Act, level
from tests.projections.conftest import Project
from tests.projections.histories import dump, minutes, record_at
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")
PROPERTY = examples(15)
ALICE = UUID(int=1)
# minutes by which a device's time differs from the server's; it may be ahead by as much as is believed
clocks = st.integers(-6, 4)
clock_pairs = st.tuples(st.none() | clocks, st.none() | clocks).filter(lambda times: times != (None, None))


@PROPERTY
@given(st.lists(st.tuples(clock_pairs, st.booleans()), min_size=2, max_size=8))
def test_followed_in_public_is_what_is_followed(
    connection: Connection, project: Project, payloads: list[tuple[tuple[int | None, int | None], bool]]
) -> None:
    for alias in STORES:
        empty(alias)
    clear_caches()
    now = log.database_time()
    dispatch(ChangePrivacy(user_id=ALICE, level="public", now=now), Origin())

    def time(ahead: int | None) -> datetime | None:
        return None if ahead is None else now + timedelta(minutes=ahead)

    for (joined, left), project_now in payloads:
        entry = SubscriptionEntry(FEEDS[0], None, time(joined), time(left))
        dispatch(SyncUserData(user_id=ALICE, now=now, subscriptions=[entry]), Origin())
        if project_now:
            project()
    project()
    shown = connection.execute("SELECT 1 FROM public.public_events WHERE kind = 'subscribe'").fetchall()
    assert len(shown) == sum(one.active for one in state_of(ALICE).subscriptions.values())


users = st.sampled_from([UUID(int=number) for number in range(1, 4)])
kinds = st.sampled_from([kind for kind in KINDS if kind != "move"])
levels: st.SearchStrategy[Level] = st.sampled_from(["public", "anonymous", "private"])
# what happens, as a function of the time that the device claims
happenings: st.SearchStrategy[Callable[[int], Event]] = st.one_of(
    st.builds(
        lambda kind, feed, item, user: lambda at: Act(kind, feed, item, at).by(user),
        *(kinds, st.sampled_from(FEEDS), st.sampled_from(ITEMS), users),
    ),
    st.builds(lambda to, user: lambda at: level(to, user, at=at), levels, users),
)


@PROPERTY
@given(st.lists(st.tuples(happenings, clocks, st.integers(0, 9)), min_size=4, max_size=30), st.data())
def test_what_the_worker_leaves_makes_the_same_rows(
    connection: Connection,
    project: Project,
    history: list[tuple[Callable[[int], Event], int, int]],
    data: st.DataObject,
) -> None:
    """Minutes represent days: the cutoff falls among the events, some of them from clocks ahead of it."""
    for alias in STORES:
        empty(alias)
    clear_caches()
    for number in range(1, 4):
        record_at(level("public", UUID(int=number), at=-9), minutes(-9))
    passed = 0
    for happened, ahead, pause in history:
        passed += pause
        record_at(happened(passed + ahead), minutes(passed))
        if data.draw(st.booleans()):
            project()
        if pause == 9:
            dispatcher.clear_cache()
            run_worker(minutes(data.draw(st.integers(-9, passed))))
    project()
    live = dump(connection)
    rebuild.rebuild([PROJECTORS["public_events"], PROJECTORS["popularity"]])
    assert dump(connection) == live
