"""A rebuild shows the public what was shown before, whatever was hidden, removed, trimmed or counted."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import log, retention
from eventstore.domain.checkpoint import EventsRemoved, Marker, PublicHistoryTrimmed, UserCheckpoint
from eventstore.domain.identifiers import episode_key, key_of
from eventstore.domain.messages import Event
from eventstore.domain.privacy import Level, PrivacySetting, scope_of
from projections import popularity, rebuild
from projections.connect import Connection
from projections.projectors import PROJECTORS
from tests.conftest import STORES, clear_caches, empty
from tests.privacy.acts import FEEDS, ITEMS, KINDS, Act, level
from tests.projections.conftest import Project
from tests.projections.histories import dump, marked, minutes, record
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")

users = st.sampled_from([UUID(int=number) for number in range(1, 5)])
feeds, items = st.sampled_from(FEEDS), st.sampled_from(ITEMS)
times = st.integers(0, 300)
levels: st.SearchStrategy[Level] = st.sampled_from(["public", "anonymous", "private"])
markers: st.SearchStrategy[Marker] = st.sampled_from(["publisher", "operator"])


def checkpoint(user: UUID, feed: str, of_account: Level, of_feed: Level | None, at: int) -> Event:
    settings = [PrivacySetting(of_account, minutes(at)), PrivacySetting(of_feed, minutes(at), feed)]
    kept = {scope_of(one.feed, one.item): one for one in settings if one.level is not None}
    return UserCheckpoint(user_id=user, taken_at=minutes(at), privacy=kept)


def removed(user: UUID, feed: str | None, item: str | None) -> Event:
    return EventsRemoved(
        user_id=user,
        feed_key=None if feed is None else UUID(key_of(feed)),
        item_key=None if item is None else UUID(episode_key(feed or "", item)),
        removed_at=minutes(0),
    )


acts = st.builds(Act, st.sampled_from(KINDS), feeds, items, times)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Act.by, acts, users),
    st.builds(Act.by, acts, users),
    st.builds(Act.by, acts, users),
    st.builds(
        level,
        st.none() | levels,
        users,
        st.none() | feeds,
        st.none() | items,
        times,
    ),
    st.builds(checkpoint, users, feeds, levels, st.none() | levels, times),
    st.builds(removed, users, st.none() | feeds, st.none() | items),
    st.builds(lambda at: PublicHistoryTrimmed(before=minutes(at)), times),
    st.builds(marked, feeds, st.booleans(), markers, times),
)
RECOUNT, RETAIN = "recount", "retain"
afterwards = st.sampled_from(["", "", "project", RECOUNT, RETAIN])
EVERYTHING_IS_DUE = """
INSERT INTO users.popularity_due (feed_key, item_key)
SELECT feed_key, item_key FROM users.activity UNION SELECT feed_key, NULL FROM public.podcast_popularity
 UNION SELECT feed_key, item_key FROM public.episode_popularity
"""


@examples(15)
@given(st.lists(st.tuples(events, afterwards), min_size=5, max_size=40))
def test_a_rebuild_equals_live(
    connection: Connection, project: Project, history: list[tuple[Event, str]]
) -> None:
    for alias in STORES:
        empty(alias)
    clear_caches()
    for event, after in history:
        record(event)
        if after:
            project()
        if after == RECOUNT:
            popularity.recalculate()
        if after == RETAIN:
            retention.delete_superseded(log.head())
    project()
    popularity.recalculate()
    project()
    live = dump(connection)
    connection.execute(EVERYTHING_IS_DUE)
    assert popularity.recalculate() == 0, "nothing was left out"
    rebuild.rebuild([PROJECTORS["public_events"], PROJECTORS["popularity"]])
    assert dump(connection) == live
