"""The projectors merge in SQL what the domain merges in Python: in any order, any batches, with repeats."""

from datetime import datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.domain import plays, subscriptions
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.store import Recorded
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact
from projections.tables import identifier
from tests.projections.histories import ALICE, BOB, NOON, minutes, moved, played, subscribed, unsubscribed

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]
together = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)

users = st.sampled_from([ALICE, BOB])
times = st.integers(0, 3)
feeds = st.sampled_from(["Zg==", "Zw==", "w6k="])
follows = st.one_of(
    st.builds(subscribed, users, feeds, times, st.sampled_from([None, "a", "B", "é"])),
    st.builds(unsubscribed, users, feeds, times),
)
items = st.sampled_from(["MSw=", "Miw="])
listens = st.one_of(
    st.builds(played, users, items, st.integers(0, 2), st.booleans(), times, feeds),
    st.builds(moved, users, items, st.integers(0, 2), st.booleans(), times),
)


@st.composite
def deliveries(draw: st.DrawFn, events: st.SearchStrategy[Event]) -> tuple[list[Event], list[list[Event]]]:
    """A history, and the same in another order, some of it twice, cut into batches."""
    history = draw(st.lists(events, min_size=1, max_size=12))
    again = draw(st.lists(st.sampled_from(history), max_size=4))
    shuffled = draw(st.permutations(history + again))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    edges = [0, *cuts, len(shuffled)]
    batches = [shuffled[start:end] for start, end in pairwise(edges)]
    return history, [batch for batch in batches if batch]


def project(connection: Connection, name: str, batches: list[list[Event]]) -> None:
    projector = PROJECTORS[name]
    tables = {table: identifier(table) for table in projector.tables}
    recorded = Recorded(1, 1, 1, str(ALICE), "", 1, "", "", NOON)
    connection.execute(f"TRUNCATE users.{name}")
    for batch in batches:
        with connection.cursor() as cursor:
            projector.apply([Fact(recorded, event) for event in batch], cursor, tables)


@together
@given(deliveries(follows))
def test_subscriptions_end_as_the_domain_folds_them(
    connection: Connection, delivered: tuple[list[Event], list[list[Event]]]
) -> None:
    history, batches = delivered
    project(connection, "subscriptions", batches)
    folded: dict[UUID, subscriptions.Subscriptions] = {}
    for event in history:
        assert isinstance(event, UserSubscribed | UserUnsubscribed)
        subscriptions.evolve(folded.setdefault(event.user_id, {}), event)
    expected = {
        (user, feed): (one.source_id, one.subscribed_at, one.unsubscribed_at)
        for user, feeds in folded.items()
        for feed, one in feeds.items()
    }
    rows = connection.execute(
        "SELECT user_id, rss_source_feed, rss_source_id, subscribed_at, unsubscribed_at"
        " FROM users.subscriptions"
    )
    assert {(user, feed): tuple(rest) for user, feed, *rest in rows} == expected


@together
@given(deliveries(listens))
def test_play_statuses_end_as_the_domain_folds_them(
    connection: Connection, delivered: tuple[list[Event], list[list[Event]]]
) -> None:
    history, batches = delivered
    project(connection, "play_statuses", batches)
    folded: dict[UUID, plays.PlayStatuses] = {}
    for event in history:
        assert isinstance(event, PlayRecorded | PositionUpdated)
        plays.evolve(folded.setdefault(event.user_id, {}), event)
    expected: dict[tuple[UUID, str], tuple[str, int, bool, datetime]] = {
        (user, item): (one.feed, one.position, one.played, one.updated_at)
        for user, items in folded.items()
        for item, one in items.items()
    }
    rows = connection.execute(
        "SELECT user_id, rss_source_item, rss_source_feed, position, played, updated_at"
        " FROM users.play_statuses"
    )
    assert {(user, item): tuple(rest) for user, item, *rest in rows} == expected


def test_a_feed_and_an_item_of_the_greatest_length_find_room(connection: Connection) -> None:
    # incompressible, so that no index could hold them whole
    text = "".join(chr(33 + (n * n * 31 + n // 7 * 17) % 90) for n in range(5_464))
    project(connection, "play_statuses", [[played(ALICE, item=text, feed=text[:2_732])]])
    project(connection, "subscriptions", [[subscribed(ALICE, feed=text[:2_732], at=1)]])
    assert connection.execute("SELECT rss_source_item FROM users.play_statuses").fetchone() == (text,)
    assert minutes(1) in (
        connection.execute("SELECT subscribed_at FROM users.subscriptions").fetchone() or ()
    )
