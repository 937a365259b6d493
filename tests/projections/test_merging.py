"""The projectors merge in SQL what the domain merges in Python: in any order, any batches, with repeats."""

from datetime import datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.domain import episodes, plays, privacy, subscriptions
from eventstore.domain.episodes import EpisodeSaved, EpisodeUnsaved
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.privacy import Level, PrivacyChanged
from eventstore.domain.retention import UserCheckpoint
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.log import Recorded
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


def saved(user: UUID, item: str, feed: str, at: int) -> Event:
    return EpisodeSaved(user_id=user, rss_source_feed=feed, rss_source_item=item, saved_at=minutes(at))


def unsaved(user: UUID, item: str, feed: str, at: int) -> Event:
    return EpisodeUnsaved(user_id=user, rss_source_feed=feed, rss_source_item=item, unsaved_at=minutes(at))


def changed(user: UUID, level: Level | None, feed: str | None, item: str | None, at: int) -> Event:
    return PrivacyChanged(
        user_id=user, level=level, rss_source_feed=feed, rss_source_item=item, changed_at=minutes(at)
    )


likes = st.one_of(
    st.builds(saved, users, items, feeds, times), st.builds(unsaved, users, items, feeds, times)
)
levels: st.SearchStrategy[Level | None] = st.sampled_from(["public", "anonymous", "private", None])
changes = st.builds(changed, users, levels, st.none() | feeds, st.none() | items, times)


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


def project(connection: Connection, name: str, batches: list[list[Event]], *, empty: bool = True) -> None:
    projector = PROJECTORS[name]
    tables = {table: identifier(table) for table in projector.tables}
    recorded = Recorded(1, 1, 1, str(ALICE), "", 1, "", "", NOON)
    if empty:
        connection.execute(f"TRUNCATE {', '.join(projector.tables)}")
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


@together
@given(deliveries(likes))
def test_saved_episodes_end_as_the_domain_folds_them(
    connection: Connection, delivered: tuple[list[Event], list[list[Event]]]
) -> None:
    history, batches = delivered
    project(connection, "episodes", batches)
    folded: dict[UUID, episodes.SavedEpisodes] = {}
    for event in history:
        assert isinstance(event, EpisodeSaved | EpisodeUnsaved)
        episodes.evolve(folded.setdefault(event.user_id, {}), event)
    expected = {
        (user, item): (one.feed, one.saved_at, one.unsaved_at)
        for user, items in folded.items()
        for item, one in items.items()
    }
    rows = connection.execute(
        "SELECT user_id, rss_source_item, rss_source_feed, saved_at, unsaved_at FROM users.saved_episodes"
    )
    assert {(user, item): tuple(rest) for user, item, *rest in rows} == expected


@together
@given(deliveries(changes))
def test_PRIV_11_privacy_settings_end_as_the_domain_folds_them_one_row_for_each_scope(
    connection: Connection, delivered: tuple[list[Event], list[list[Event]]]
) -> None:
    history, batches = delivered
    project(connection, "user_privacy", batches)
    folded: dict[UUID, privacy.PrivacySettings] = {}
    for event in history:
        assert isinstance(event, PrivacyChanged)
        privacy.evolve(folded.setdefault(event.user_id, {}), event)
    expected = {
        (user, UUID(key_of(scope))): (one.feed, one.item, one.level, one.changed_at)
        for user, settings in folded.items()
        for scope, one in settings.items()
    }
    rows = connection.execute(
        "SELECT user_id, scope_key, rss_source_feed, rss_source_item, level, changed_at"
        " FROM users.user_privacy"
    ).fetchall()
    assert {(user, scope): tuple(rest) for user, scope, *rest in rows} == expected
    assert len(rows) == len(expected)


@together
@given(st.lists(likes, max_size=6), st.lists(changes, max_size=6), st.booleans())
def test_a_checkpoint_takes_the_place_of_what_was_before_it(
    connection: Connection, liked: list[Event], set_: list[Event], at_once: bool
) -> None:
    """Whether it comes in a batch of its own or not; Bob's rows stay."""
    stale = [saved(ALICE, "Myw=", "Zg==", 5), changed(ALICE, "public", "YQ==", None, 5)]
    of_bob = [saved(BOB, "Myw=", "Zg==", 5), changed(BOB, "public", "YQ==", None, 5)]
    mine = [event for event in (*liked, *set_) if event.user_id == ALICE]
    kept: episodes.SavedEpisodes = {"MSw=": episodes.SavedEpisode("Zg==", minutes(1))}
    settings: privacy.PrivacySettings = {"user": privacy.PrivacySetting("anonymous", minutes(1))}
    checkpoint = UserCheckpoint(
        user_id=ALICE, taken_at=NOON, saved_episodes=dict(kept), privacy=dict(settings)
    )
    before, after = [*stale, *of_bob], [checkpoint, *mine]
    for event in mine:
        match event:
            case EpisodeSaved() | EpisodeUnsaved():
                episodes.evolve(kept, event)
            case PrivacyChanged():
                privacy.evolve(settings, event)
    batches = [[*before, *after]] if at_once else [before, *([event] for event in after)]
    for name, table, expected in (
        ("episodes", "saved_episodes", {key_of(item) for item in kept}),
        ("user_privacy", "user_privacy", {key_of(scope) for scope in settings}),
    ):
        handled = [[event for event in batch if type(event) in PROJECTORS[name].handles] for batch in batches]
        project(connection, name, [batch for batch in handled if batch])
        rows = connection.execute(f"SELECT * FROM users.{table} WHERE user_id = %s", [ALICE]).fetchall()
        assert {row[1].hex for row in rows} == expected
        assert len(connection.execute(f"SELECT 1 FROM users.{table}").fetchall()) == len(expected) + 1


def test_a_checkpoint_writes_nothing_that_is_there_already(connection: Connection) -> None:
    """Nor the same again: nearly all of the worker's checkpoints change nothing, and plays wait for them."""
    likes = [saved(ALICE, item, "Zg==", 1) for item in ("MSw=", "Miw=", "Myw=")]
    kept = {item: episodes.SavedEpisode("Zg==", minutes(1)) for item in ("MSw=", "Miw=")}
    kept["NCw="] = episodes.SavedEpisode("Zg==", minutes(2))
    checkpoint = UserCheckpoint(user_id=ALICE, taken_at=NOON, saved_episodes=kept)
    written = "SELECT rss_source_item, xmin::text FROM users.saved_episodes"
    project(connection, "episodes", [likes])
    before: dict[str, str] = dict(connection.execute(written).fetchall())
    project(connection, "episodes", [[checkpoint]], empty=False)
    after: dict[str, str] = dict(connection.execute(written).fetchall())
    assert after.keys() == kept.keys()
    assert {item: after[item] for item in ("MSw=", "Miw=")} == {
        item: before[item] for item in ("MSw=", "Miw=")
    }


def test_a_feed_and_an_item_of_the_greatest_length_find_room(connection: Connection) -> None:
    # incompressible, so that no index could hold them whole
    text = "".join(chr(33 + (n * n * 31 + n // 7 * 17) % 90) for n in range(5_464))
    project(connection, "play_statuses", [[played(ALICE, item=text, feed=text[:2_732])]])
    project(connection, "subscriptions", [[subscribed(ALICE, feed=text[:2_732], at=1)]])
    assert connection.execute("SELECT rss_source_item FROM users.play_statuses").fetchone() == (text,)
    assert minutes(1) in (
        connection.execute("SELECT subscribed_at FROM users.subscriptions").fetchone() or ()
    )
