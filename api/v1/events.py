"""The history of a listener, read from the event log itself."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.app_names import app_names
from api import answers
from api.auth import caller_of
from api.fields import PageQuery, meta
from api.operations import operation
from api.views import View
from eventstore import dispatcher, log
from eventstore.domain import history
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.fields import ITEM
from eventstore.domain.identifiers import shown_item
from eventstore.domain.messages import Event
from eventstore.log import LAST_VERSION, RecordedEvent
from eventstore.reading import decoded, origin_of
from eventstore.streams import StreamUnreadable
from projections.queries import InvalidCursor, decode_cursor, encode_cursor

Data = Annotated[
    dict[str, Any],
    meta("The event's data; for a checkpoint, the number of entries of each kind in it."),
]
Cause = Annotated[
    str | None,
    meta(
        "Why it was done: `undo` by the user; or, by the server itself, `feed_moved`, `removal_unanswered` or"
        " `import` (from another sync server, which is named as the device). Null for what an app did.",
        example="undo",
    ),
]
Undoes = Annotated[list[str], meta("For an undo, the `event_id`s of the events that it takes back.")]
StillHolds = Annotated[
    bool | None, meta("Whether the event is still in effect; null if that cannot be determined.")
]
Rule = Annotated[
    str | None,
    meta(
        "Why the event is in effect or not, as a rule named as in a sync's conflicts.", example="later_wins"
    ),
]


class HistoryEvent(Struct):
    """`happened_at`: the time that counts, which is the device's own if that was plausible; `claimed_at`: the
    device's time if it was not. `app_name` is null if the app has been revoked since."""

    event_id: str
    version: int
    type: str
    happened_at: datetime | None
    claimed_at: datetime | None
    recorded_at: datetime
    app_id: str | None
    app_name: str | None
    device_id: str | None
    device_name: str | None
    cause: Cause
    undoes: Undoes
    data: Data
    stands: StillHolds
    rule: Rule


class History(Struct):
    events: list[HistoryEvent]
    next_cursor: str | None


class EventsView(View):
    scopes = {"GET": "user.read"}

    @operation("Show the history", answers={200: History})
    def get(self, request: Request, query: PageQuery) -> Response:
        """What the user did, the newest arrival first: what it was, when it happened, when it arrived, from
        which app and device, and whether it still holds. Single events are kept for 45 days, unless the
        operator sets another period; a checkpoint replaces those before."""
        before = LAST_VERSION if query.cursor is None else _version_in(query.cursor)
        caller = caller_of(request)
        position = answers.account_position(request)
        stream = log.known_stream(caller.user_id)
        rows = [] if stream is None else log.read_history(stream, before, query.limit + 1)
        names = app_names(caller.user_id)
        events = [decoded(row) for row in rows[: query.limit]]
        shown = [_shown(row, event, names) for row, event in zip(rows, events, strict=False)]
        if shown:
            with suppress(StreamUnreadable):
                state = dispatcher.state_of(caller.user_id)
                state.fetch(history.keys(event for event in events if event is not None))
                for one, event in zip(shown, events, strict=True):
                    if event is not None:
                        one.stands, one.rule = history.in_effect(state.user, event) or (None, None)
        following = encode_cursor(str(rows[query.limit - 1].version)) if len(rows) > query.limit else None
        return answers.answer(History(shown, following), position)


def counted(event: UserCheckpoint) -> dict[str, Any]:
    """Return the number of entries in a checkpoint: the state itself, of up to 100 MB, is left to the
    export."""
    topics = {name: getattr(event, name) for name in event.__struct_fields__ if name != "user_id"}
    return {name: len(value) if isinstance(value, dict | tuple) else value for name, value in topics.items()}


def _shown(row: RecordedEvent, event: Event | None, names: dict[str, str]) -> HistoryEvent:
    origin = origin_of(row)
    return HistoryEvent(
        event_id=row.event_id,
        version=row.version,
        type=row.type,
        happened_at=None if event is None else history.happened_at(event),
        claimed_at=getattr(event, "claimed_at", None),
        recorded_at=row.recorded_at,
        app_id=origin.app_id,
        app_name=None if origin.app_id is None else names.get(origin.app_id),
        device_id=origin.device_id,
        device_name=origin.device_name,
        cause=origin.cause,
        undoes=list(origin.undoes),
        data=_data(row, event),
        stands=None,
        rule=None,
    )


def _data(row: RecordedEvent, event: Event | None) -> dict[str, Any]:
    if isinstance(event, UserCheckpoint):
        return counted(event)
    data: dict[str, Any] = msgspec.json.decode(row.data)
    if data.get(ITEM) is not None:
        data[ITEM], data["guid"], data["enclosure_url"] = shown_item(data[ITEM])
    return {name: value for name, value in data.items() if name != "user_id"}


def _version_in(cursor: str) -> int:
    """Return the version in a cursor. Raises ``InvalidCursor``."""
    text = decode_cursor(cursor)
    if not re.fullmatch("[1-9][0-9]{0,9}", text) or int(text) > LAST_VERSION:
        raise InvalidCursor(cursor)
    return int(text)


paths = [path("events", EventsView.as_view())]
