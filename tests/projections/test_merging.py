"""The projectors merge in SQL as the domain merges in Python: every topic, in any order and any batches."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from eventstore.domain import playlists
from eventstore.domain.checkpoint import TakeCheckpoint, UserCheckpoint, take
from eventstore.domain.collections import default_id
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key, key_of
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.playlists import PlaylistCreated, PlaylistDeleted, PlaylistItemAdded
from eventstore.domain.register import Register
from eventstore.domain.saved import EpisodeSaved, SavedEpisode
from eventstore.domain.times import NEVER
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS, User
from eventstore.domain.user import evolve
from eventstore.log import RecordedEvent
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact, identifier
from tests.domain.drawn import SPELLINGS, events, structs
from tests.projections.histories import ALICE, BOB, NOON, minutes, played, subscribed
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")
few = examples(40, shrink=True)
of_every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
users = st.sampled_from([ALICE, BOB])
CHECKPOINT = "checkpoint"
Rows = list[dict[str, Any]]


@st.composite
def in_batches(draw: st.DrawFn, history: list[Event]) -> list[list[Event]]:
    cuts = sorted(draw(st.lists(st.integers(0, len(history)), max_size=3)))
    return [history[start:end] for start, end in pairwise([0, *cuts, len(history)]) if start < end]


@st.composite
def histories(draw: st.DrawFn, steps: st.SearchStrategy[Event]) -> list[Event]:
    """Events in the order in which they were decided, with checkpoints of Alice in between."""
    people, history = {ALICE: User(ALICE), BOB: User(BOB)}, list[Event]()
    for step in draw(st.lists(steps | st.just(CHECKPOINT), max_size=12)):
        if isinstance(step, str):
            gone_before = draw(st.sampled_from([NEVER, NOON - timedelta(minutes=2)]))
            step = take(people[ALICE], TakeCheckpoint(user_id=ALICE, now=NOON, before=gone_before))
        evolve(people[step.user_id], step)
        history.append(step)
    return history


def project(
    connection: Connection, name: str, batches: Sequence[Sequence[Event]], *, empty: bool = True
) -> None:
    projector = PROJECTORS[name]
    tables = {table: identifier(table) for table in projector.tables}
    recorded = RecordedEvent(1, 1, 1, str(ALICE), "", 1, "", "", NOON)
    if empty:
        connection.execute(f"TRUNCATE {', '.join(projector.tables)}")
    for batch in batches:
        facts = [Fact(recorded, event) for event in batch if type(event) in projector.handles]
        with connection.transaction(), connection.cursor() as cursor:
            projector.apply(facts, cursor, tables)


def folded(history: Sequence[Event]) -> list[User]:
    people = [User(ALICE), User(BOB)]
    for event in history:
        evolve(people[event.user_id == BOB], event)
    return people


def stored(connection: Connection, topic: Topic) -> list[Rows]:
    """The rows of each of the topic's tables, sorted."""
    found = []
    with connection.cursor(row_factory=dict_row) as cursor:
        for table in PROJECTORS[topic.name].tables:
            rows = cursor.execute(f"SELECT * FROM {table}").fetchall()
            found.append(sorted((plain(row) for row in rows), key=by_values))
    return found


def by_values(row: dict[str, Any]) -> str:
    return str(sorted(row.items()))


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the domain names it: the column of a list's order is renamed, and UUIDs become strings."""
    named = {"order" if name.endswith("_order") else name: value for name, value in row.items()}
    return {name: str(value) if isinstance(value, UUID) else value for name, value in named.items()}


def expected(topic: Topic, people: list[User]) -> list[Rows]:
    """The rows that correspond to the folded state, as the topic declares them."""
    register = topic.register
    if not isinstance(register, OrderedSet):
        found = [
            row_of(register, key, one, user) for user in people for key, one in state_of(topic, user).items()
        ]
        return [sorted(found, key=by_values)]
    lists, members = [], []
    for user in people:
        for key, one in state_of(topic, user).items():
            if one.updated_at != NEVER or one.deleted_at is not None:
                fields = {name: getattr(one, name) for name in register.fields}
                named = {"user_id": str(user.user_id), register.key.column: key}
                lists.append(named | fields | {"order": list(one.order)})
            for name, member in one.members.items():
                members.append(row_of(register.members, name, member, user) | {register.key.column: key})
        members += shown_beside(topic, user)
    return [sorted(lists, key=by_values), sorted(members, key=by_values)]


def state_of(topic: Topic, user: User) -> dict[str, Any]:
    return getattr(user, topic.name)  # type: ignore[no-any-return]


def row_of(register: Register[Any], key: str, one: Any, user: User) -> dict[str, Any]:
    fields = {field.public: getattr(one, field.name) for field in register.fields.values()}
    named = {"user_id": str(user.user_id), register.key.column: str(UUID(register.key.digest(key)))}
    return named | register.key.named(key) | fields


def shown_beside(topic: Topic, user: User) -> Iterator[dict[str, Any]]:
    """The feeds that the default collection shows because they are subscribed to."""
    if topic.name == "collections":
        for feed, one in user.subscriptions.items():
            yield {
                "user_id": str(user.user_id),
                "collection_id": str(default_id(user.user_id)),
                "feed_key": str(UUID(key_of(feed))),
                "rss_source_feed": feed,
                "added_at": one.subscribed_at,
                "removed_at": one.unsubscribed_at,
            }


@of_every_topic
@few
@given(st.data())
def test_a_history_with_checkpoints_ends_as_the_domain_folds_it(
    connection: Connection, topic: Topic, data: st.DataObject
) -> None:
    handled = PROJECTORS[topic.name].handles - {UserCheckpoint, *topic.carriers}
    # only items with a GUID can be identified
    named = {"rss_source_item": st.sampled_from(SPELLINGS[1:])} if EpisodeIdentified in handled else {}
    beside = [structs(event, times, user_id=users, **named) for event in sorted(handled, key=str)]
    history = data.draw(histories(st.one_of(events(topic, user_id=users), *beside)))
    project(connection, topic.name, data.draw(in_batches(history)))
    assert stored(connection, topic) == expected(topic, folded(history))


times: st.SearchStrategy[datetime] = st.integers(0, 3).map(lambda n: NOON - timedelta(minutes=n))


@of_every_topic
@few
@given(st.data())
def test_in_any_order_and_twice_it_ends_with_the_same(
    connection: Connection, topic: Topic, data: st.DataObject
) -> None:
    """For a list only its members are tested: the list's own events depend on its row, and thus on order."""
    register = topic.register
    whole = register.members if isinstance(register, OrderedSet) else register
    drawn = events(topic, only=whole.carriers, user_id=users)
    history = data.draw(st.lists(drawn, min_size=1, max_size=8))
    again = history + data.draw(st.lists(st.sampled_from(history), max_size=3))
    shuffled = data.draw(st.permutations(again))
    project(connection, topic.name, data.draw(in_batches(list(shuffled))))
    assert stored(connection, topic) == expected(topic, folded(history))


@of_every_topic
@few
@given(st.data())
def test_a_checkpoint_takes_the_place_of_what_was_before_it(
    connection: Connection, topic: Topic, data: st.DataObject
) -> None:
    """This holds whether or not it is in a batch of its own; Bob's rows remain."""
    drawn = events(topic, user_id=users)
    before, after = (data.draw(st.lists(drawn, max_size=5)) for _ in range(2))
    kept = folded([event for event in data.draw(st.lists(drawn, max_size=3)) if event.user_id == ALICE])[0]
    checkpoint = take(kept, TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER))
    history: list[Event] = [*before, checkpoint, *after]
    one_by_one: list[list[Event]] = [before, [checkpoint], *([one] for one in after)]
    batches = [history] if data.draw(st.booleans()) else one_by_one
    project(connection, topic.name, batches)
    assert stored(connection, topic) == expected(topic, folded(history))


def test_a_member_of_a_list_that_went_with_a_checkpoint_makes_no_list(connection: Connection) -> None:
    """There has been no event about the playlist itself since the checkpoint."""
    list_id: dict[str, Any] = {"user_id": ALICE, "playlist_id": UUID(int=1)}
    item: dict[str, Any] = {"rss_source_item": "MSw=", "rss_source_feed": "Zg=="}
    before: list[Event] = [
        PlaylistCreated(**list_id, name="Walk", updated_at=minutes(0)),
        PlaylistDeleted(**list_id, deleted_at=minutes(1)),
    ]
    after = [
        UserCheckpoint(user_id=ALICE, taken_at=NOON),
        PlaylistItemAdded(**list_id, **item, added_at=minutes(2)),
    ]
    project(connection, "playlists", [before, after])
    lists, members = stored(connection, playlists.TOPIC)
    assert (len(lists), len(members)) == (0, 1)


def saved(item: str, at: int) -> EpisodeSaved:
    return EpisodeSaved(user_id=ALICE, rss_source_feed="Zg==", rss_source_item=item, saved_at=minutes(at))


def test_a_checkpoint_writes_nothing_that_is_there_already(connection: Connection) -> None:
    """Most of the worker's checkpoints change nothing, and plays wait for them: so unchanged rows stay."""
    kept = {episode_key("Zg==", item): SavedEpisode("Zg==", item, minutes(1)) for item in ("MSw=", "Miw=")}
    kept[episode_key("Zg==", "NCw=")] = SavedEpisode("Zg==", "NCw=", minutes(2))
    checkpoint = UserCheckpoint(user_id=ALICE, taken_at=NOON, saved=kept)
    written = "SELECT rss_source_item, xmin::text FROM users.saved_episodes"
    project(connection, "saved", [[saved(item, 1) for item in ("MSw=", "Miw=", "Myw=")]])
    before: dict[str, str] = dict(connection.execute(written).fetchall())
    project(connection, "saved", [[checkpoint]], empty=False)
    after: dict[str, str] = dict(connection.execute(written).fetchall())
    assert after.keys() == {one.item for one in kept.values()}
    assert {item: after[item] for item in ("MSw=", "Miw=")} == {
        item: before[item] for item in ("MSw=", "Miw=")
    }


def test_a_feed_and_an_item_of_the_greatest_length_find_room(connection: Connection) -> None:
    # incompressible, so that no index could hold the values whole
    text = "".join(chr(33 + (n * n * 31 + n // 7 * 17) % 90) for n in range(5_464))
    item = b64encode(text[:4_095].encode() + b",").decode()
    project(connection, "plays", [[played(ALICE, item=item, feed=text[:2_732])]])
    project(connection, "subscriptions", [[subscribed(ALICE, feed=text[:2_732], at=1)]])
    assert connection.execute("SELECT rss_source_item FROM users.play_statuses").fetchone() == (item,)
    assert minutes(1) in (
        connection.execute("SELECT subscribed_at FROM users.subscriptions").fetchone() or ()
    )


def test_states_are_plain_structs() -> None:
    for topic in TOPICS:
        assert issubclass(topic.register.state, msgspec.Struct)
