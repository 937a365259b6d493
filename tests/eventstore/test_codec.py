"""Stored events stay readable: names and shapes are pinned, old ones upcast, unknown fields ignored."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import codec
from eventstore.codec import CodecError, Document, UndecodableEvent, UnknownEvent
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed

ALICE = UUID("a11ce000-0000-4000-8000-000000000000")
AT = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
AHEAD = datetime(2027, 6, 1, 12, tzinfo=UTC)
FEED, ITEM = "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVk", "bW9uZGF5LA=="
WHO = '{"user_id":"a11ce000-0000-4000-8000-000000000000"'
WHICH = f'{WHO},"rss_source_feed":"{FEED}"'
CLAIMED = '"claimed_at":"2027-06-01T12:00:00Z"'
WHERE = f'{WHICH},"rss_source_item":"{ITEM}"'

SUBSCRIBED = UserSubscribed(user_id=ALICE, rss_source_feed=FEED, rss_source_id="main", subscribed_at=AT)

# These are stored for ever: lines may be added here, but never changed.
GOLDEN: list[tuple[str, int, str, Event]] = [
    (
        "UserSubscribed",
        1,
        f'{WHICH},"rss_source_id":"main","subscribed_at":"2026-06-01T12:00:00.250000Z"}}',
        SUBSCRIBED,
    ),
    (
        "UserSubscribed",
        1,
        f'{WHICH},"subscribed_at":"2026-06-01T12:00:00.250000Z",{CLAIMED}}}',
        UserSubscribed(user_id=ALICE, rss_source_feed=FEED, subscribed_at=AT, claimed_at=AHEAD),
    ),
    (
        "UserUnsubscribed",
        1,
        f'{WHICH},"unsubscribed_at":"2026-06-01T12:00:00.250000Z"}}',
        UserUnsubscribed(user_id=ALICE, rss_source_feed=FEED, unsubscribed_at=AT),
    ),
    (
        "UserUnsubscribed",
        1,
        f'{WHICH},"unsubscribed_at":"2026-06-01T12:00:00.250000Z",{CLAIMED}}}',
        UserUnsubscribed(user_id=ALICE, rss_source_feed=FEED, unsubscribed_at=AT, claimed_at=AHEAD),
    ),
    (
        "PlayRecorded",
        1,
        f'{WHERE},"position":61,"played":false,"played_at":"2026-06-01T12:00:00.250000Z"}}',
        PlayRecorded(
            user_id=ALICE,
            rss_source_feed=FEED,
            rss_source_item=ITEM,
            position=61,
            played=False,
            played_at=AT,
        ),
    ),
    (
        "PlayRecorded",
        1,
        f'{WHERE},"position":0,"played":true,"played_at":"2026-06-01T12:00:00.250000Z",{CLAIMED}}}',
        PlayRecorded(
            user_id=ALICE,
            rss_source_feed=FEED,
            rss_source_item=ITEM,
            position=0,
            played=True,
            played_at=AT,
            claimed_at=AHEAD,
        ),
    ),
    (
        "PlayRecorded",
        1,
        f'{WHERE},"position":9,"played":false,"speed":1.5,"played_at":"2026-06-01T12:00:00.250000Z"}}',
        PlayRecorded(
            user_id=ALICE,
            rss_source_feed=FEED,
            rss_source_item=ITEM,
            position=9,
            played=False,
            speed=1.5,
            played_at=AT,
        ),
    ),
    (
        "PositionUpdated",
        1,
        f'{WHERE},"position":61,"played":true,"updated_at":"2026-06-01T12:00:00.250000Z"}}',
        PositionUpdated(
            user_id=ALICE,
            rss_source_feed=FEED,
            rss_source_item=ITEM,
            position=61,
            played=True,
            updated_at=AT,
        ),
    ),
    (
        "PositionUpdated",
        1,
        f'{WHERE},"position":61,"played":false,"updated_at":"2026-06-01T12:00:00.250000Z",{CLAIMED}}}',
        PositionUpdated(
            user_id=ALICE,
            rss_source_feed=FEED,
            rss_source_item=ITEM,
            position=61,
            played=False,
            updated_at=AT,
            claimed_at=AHEAD,
        ),
    ),
]
golden = pytest.mark.parametrize(("name", "schema", "data", "event"), GOLDEN)


@golden
def test_an_event_is_stored_as_it_always_was(name: str, schema: int, data: str, event: Event) -> None:
    assert codec.name_of(event) == (name, schema)
    assert codec.encode(event).decode() == data


@golden
def test_what_is_stored_is_read_as_it_always_was(name: str, schema: int, data: str, event: Event) -> None:
    assert codec.decode(name, schema, data) == event
    assert codec.decode(name, schema, data.encode()) == event


class Line(msgspec.Struct):
    type: str
    schema: int
    data: msgspec.Raw


# every type, once with its required fields and once with all; lines may be added, but never changed
LINES = [
    msgspec.json.decode(line, type=Line)
    for line in (Path(__file__).parent / "golden.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.type}-{len(bytes(line.data))}")
def test_every_event_ever_stored_is_read_and_written_as_it_was(line: Line) -> None:
    event = codec.decode(line.type, line.schema, bytes(line.data))
    assert codec.name_of(event)[0] == line.type
    assert codec.encode(event) == bytes(line.data)


def test_every_stored_name_schema_and_field_is_pinned() -> None:
    assert {(line.type, line.schema) for line in LINES} == {
        (name, schema) for name, (_, schema) in codec.EVENTS.items()
    }
    for name, (cls, _) in codec.EVENTS.items():
        pinned = {
            field for line in LINES if line.type == name for field in msgspec.json.decode(bytes(line.data))
        }
        fields = {field.encode_name for field in msgspec.structs.fields(cls)}
        # events of the instance belong to no user, so their ``user_id`` is left out
        assert pinned | {"user_id"} == fields


KNOWN = {field.encode_name for _, _, _, event in GOLDEN for field in msgspec.structs.fields(event)}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EXTRA = st.dictionaries(st.text().filter(lambda name: name not in KNOWN), VALUES, max_size=5)


@given(event=st.sampled_from([event for *_, event in GOLDEN]), extra=EXTRA)
def test_fields_that_this_version_does_not_know_are_no_obstacle(event: Event, extra: dict[str, Any]) -> None:
    data = json.dumps({**json.loads(codec.encode(event)), **extra})
    assert codec.decode(*codec.name_of(event), data) == event


# --- upcasters: UserSubscribed as it would be after two changes of its shape


def named_in_full(document: Document) -> Document:
    return {"rss_source_feed": document.pop("feed"), **document}


def time_from_seconds(document: Document) -> Document:
    return {**document, "subscribed_at": datetime.fromtimestamp(int(document.pop("at")), UTC)}


FIRST = f'{WHO},"feed":"{FEED}","at":"1780315200"}}'
SECOND = f'{WHICH},"at":"1780315200"}}'
THIRD = f'{WHICH},"subscribed_at":"2026-06-01T12:00:00Z"}}'


@pytest.fixture
def third_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codec.EVENTS, "UserSubscribed", (UserSubscribed, 3))
    monkeypatch.setitem(codec.UPCASTERS, ("UserSubscribed", 1), named_in_full)
    monkeypatch.setitem(codec.UPCASTERS, ("UserSubscribed", 2), time_from_seconds)


@pytest.mark.usefixtures("third_schema")
@pytest.mark.parametrize(("schema", "data"), [(1, FIRST), (2, SECOND), (3, THIRD)])
def test_an_old_shape_is_upcast_step_by_step(schema: int, data: str) -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    event = UserSubscribed(user_id=ALICE, rss_source_feed=FEED, subscribed_at=noon)
    assert codec.decode("UserSubscribed", schema, data) == event
    assert codec.decode("UserSubscribed", schema, data.encode()) == event


@pytest.mark.usefixtures("third_schema")
def test_an_event_is_written_in_its_newest_schema() -> None:
    assert codec.name_of(SUBSCRIBED) == ("UserSubscribed", 3)


@pytest.mark.usefixtures("third_schema")
@pytest.mark.parametrize("schema", [-1, 0, 1])
def test_a_schema_without_its_upcaster_is_unknown(schema: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(codec.UPCASTERS, ("UserSubscribed", 1))
    with pytest.raises(UnknownEvent, match=f"UserSubscribed v{schema} has no upcaster"):
        codec.decode("UserSubscribed", schema, FIRST)


def test_a_newer_schema_is_unknown() -> None:
    with pytest.raises(UnknownEvent, match=r"UserSubscribed v2 is newer than this program \(v1\)"):
        codec.decode("UserSubscribed", 2, '{"secret": true}')


def test_a_type_that_was_never_ours_is_unknown() -> None:
    with pytest.raises(UnknownEvent, match="unknown event type UserSang"):
        codec.decode("UserSang", 1, '{"song": "secret"}')


SECRET = '"secret"'
UNDECODABLE = [
    "",
    "secret",
    "[]",
    SECRET,
    "{}",
    f"{WHICH}}}",
    THIRD[:-1],
    THIRD.replace(f'"{ALICE}"', SECRET),
    THIRD.replace(f'"{FEED}"', '["secret"]'),
    THIRD.replace('"2026-06-01T12:00:00Z"', SECRET),
    THIRD.replace("2026", "secret"),
    THIRD[:-1] + ',"deep":' + "[" * 9_999 + "]" * 9_999 + "}",
]


@pytest.mark.parametrize("data", [*UNDECODABLE, b'{"user_id": "\xff secret"}'])
def test_data_of_another_shape_is_undecodable_and_its_values_stay_secret(data: str | bytes) -> None:
    assert "secret" not in refusal(1, data)


@pytest.mark.usefixtures("third_schema")
@pytest.mark.parametrize("data", [*UNDECODABLE, FIRST.replace("1780315200", "secret"), b'{"feed": "\xff"}'])
def test_old_data_of_another_shape_is_undecodable_too(data: str | bytes) -> None:
    assert "secret" not in refusal(1, data)


def say_it_aloud(document: Document) -> Document:
    raise RuntimeError(f"what is {document['feed']}?")


def lose_the_feed(document: Document) -> Document:
    return {"user_id": document["user_id"]}


@pytest.mark.usefixtures("third_schema")
@pytest.mark.parametrize("upcaster", [say_it_aloud, lose_the_feed, lambda document: None])
def test_an_upcaster_that_fails_makes_the_event_undecodable(
    upcaster: Callable[[Document], Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(codec.UPCASTERS, ("UserSubscribed", 2), upcaster)
    assert FEED not in refusal(1, FIRST)


def refusal(schema: int, data: str | bytes) -> str:
    """The text of the refusal, and of every error that a log would print with it as its cause."""
    with pytest.raises(CodecError) as refused:
        codec.decode("UserSubscribed", schema, data)
    assert isinstance(refused.value, UndecodableEvent)
    assert str(refused.value).startswith(f"UserSubscribed v{schema}: ")
    cause = refused.value if refused.value.__suppress_context__ else refused.value.__context__
    return f"{refused.value} {refused.value.__cause__ or ''} {cause}"
