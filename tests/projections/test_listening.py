"""The projector counts what the domain counts: in any batches, late or live, with checkpoints."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.checkpoint import TakeCheckpoint, take
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.listening import Heard, Place, compress, recount
from eventstore.domain.messages import Event, Origin
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.tally import tally
from eventstore.domain.times import NEVER
from eventstore.domain.topics import User
from eventstore.log import RecordedEvent
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.listening import PLACE
from projections.projectors.shape import Fact
from tests.projections.histories import ALICE, BOB, FEED, NOON
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")
FILE, MONDAY = item_of("", "https://example.org/1.mp3"), item_of("monday", "https://example.org/1.mp3")
TUESDAY = item_of("tuesday", "")
PROJECTOR = PROJECTORS["listening"]
CHECKPOINT, IDENTIFIED = "checkpoint", "identified"
Sent = tuple[Event, str]


def play_from(user: UUID, seconds: int, position: int, item: str, device: str, started: int | None) -> Sent:
    at = NOON + timedelta(seconds=seconds)
    event = PlayRecorded(
        user_id=user,
        rss_source_feed=FEED,
        rss_source_item=item,
        position=position,
        played=position > 500,
        started=started,
        played_at=at,
    )
    return event, device


PLACES = st.builds(
    play_from,
    st.sampled_from([ALICE, BOB]),
    st.integers(0, 600),
    st.integers(0, 600),
    st.sampled_from([MONDAY, TUESDAY, FILE]),
    st.sampled_from(["phone", "desk"]),
    st.none() | st.integers(0, 600),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Sent]:
    history: list[Sent] = []
    for step in draw(st.lists(PLACES | st.sampled_from([CHECKPOINT, IDENTIFIED]), max_size=14)):
        if step == CHECKPOINT:
            listening = tally(((event, device) for event, device in history if event.user_id == ALICE), NEVER)
            command = TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER, listening=listening)
            history.append((take(User(ALICE), command), ""))
        elif step == IDENTIFIED:
            identified = EpisodeIdentified(
                user_id=ALICE,
                rss_source_feed=FEED,
                known_item=FILE,
                rss_source_item=MONDAY,
                identified_at=NOON,
            )
            history.append((identified, ""))
        else:
            assert not isinstance(step, str)
            history.append(step)
    return history


def project(connection: Connection, batches: Iterable[Sequence[Sent]]) -> None:
    connection.execute("TRUNCATE users.listening")
    for batch in batches:
        facts = [Fact(recorded(device), event) for event, device in batch]
        with connection.transaction(), connection.cursor() as cursor:
            PROJECTOR.apply(facts, cursor, PROJECTOR.live_tables)


def recorded(device: str) -> RecordedEvent:
    origin = msgspec.json.encode(Origin(device_name=device or None)).decode()
    return RecordedEvent(1, 1, 1, str(ALICE), "", 1, "", origin, NOON)


def stored(connection: Connection) -> dict[tuple[UUID, str], tuple[Heard, ...]]:
    """What a checkpoint would keep of the rows."""
    columns = ", ".join(PLACE)
    rows: dict[tuple[UUID, str], list[Place]] = {}
    for user_id, key, *values in connection.execute(
        f"SELECT user_id, item_key, {columns} FROM users.listening"
    ):
        rows.setdefault((user_id, key.hex), []).append(Place(*values))
    for places in rows.values():
        assert sorted(places, key=lambda place: place.key) == recount(places), (
            "each row is counted as all are"
        )
    return {named: compress(recount(places), NEVER) for named, places in rows.items()}


def expected(history: Iterable[Sent]) -> dict[tuple[UUID, str], tuple[Heard, ...]]:
    history = list(history)
    return {
        (user, episode_key(of.rss_source_feed, of.rss_source_item)): of.heard
        for user in (ALICE, BOB)
        for of in tally([one for one in history if one[0].user_id == user], NEVER)
    }


@examples(60, shrink=True)
@given(histories(), st.lists(st.integers(0, 14), max_size=3))
def test_whatever_comes_in_whatever_batches_is_counted_as_the_domain_counts_it(
    connection: Connection, history: list[Sent], cuts: list[int]
) -> None:
    places = sorted(min(cut, len(history)) for cut in cuts)
    batches = [history[start:end] for start, end in pairwise([0, *places, len(history)]) if start < end]
    project(connection, batches)
    assert stored(connection) == expected(history)


def test_what_the_server_did_itself_and_undos_are_not_counted_and_imports_are(connection: Connection) -> None:
    event, _ = play_from(ALICE, 0, 10, MONDAY, "", 0)
    for cause, counted in (("feed_moved", []), ("undo", []), ("import", [10])):
        caused: Any = msgspec.json.encode(Origin(cause=cause)).decode()
        fact = Fact(RecordedEvent(1, 1, 1, str(ALICE), "", 1, "", caused, NOON), event)
        with connection.transaction(), connection.cursor() as cursor:
            PROJECTOR.apply([fact], cursor, PROJECTOR.live_tables)
        assert [one.seconds for heard in stored(connection).values() for one in heard] == counted, cause
