"""Undoing an event, or everything that a device or an app has sent since a time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal
from uuid import UUID

from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.auth import caller_of
from api.clock import now
from api.errors import FieldError, Refused
from api.fields import LONGEST_DEVICE, AppName, DeviceId, Time, meta
from api.operations import operation
from api.parameters import command_id
from api.views import View
from eventstore import undo
from eventstore.domain import history
from eventstore.domain.identifiers import shown_item
from eventstore.domain.restoring import MEMBER, WHOLE
from eventstore.domain.undoing import DETAILS, Change, Reason, Skipped
from eventstore.reading import origin_of
from eventstore.undo import Chosen, NoSuchEvent, Undo, UndoRefused
from jobs.announcing import announce

# limit of listed events that build on another
MOST_LATER: Final = 20

EventId = Annotated[UUID, meta("The `event_id` of an event, as given in the history.")]
DeviceName = Annotated[
    str, meta("The human-readable name of a device or browser.", min_length=1, max_length=LONGEST_DEVICE)
]
Topic = Annotated[
    str, meta("The topic, named as in a sync: `subscriptions`, `plays`, `saved`, …", example="subscriptions")
]
PartName = Annotated[
    str | None,
    meta(
        "Which part of a list: `name`, `description`, …, `order`, `member`. Null for all of it.",
        example="name",
    ),
]
Values = Annotated[dict[str, Any], meta("The values, by field name.")]
Status = Literal["success", "dry_run"]

# by topic, part and whether it will exist
WORDS: Final[Mapping[tuple[str, str, bool], str]] = {
    ("subscriptions", WHOLE, True): "The podcast is followed.",
    ("subscriptions", WHOLE, False): "The podcast is not followed.",
    ("saved", WHOLE, True): "The episode is saved.",
    ("saved", WHOLE, False): "The episode is not saved.",
    ("playlists", WHOLE, True): "The playlist is there, with what was in it.",
    ("playlists", WHOLE, False): "The playlist is deleted.",
    ("playlists", MEMBER, True): "The episode is in the playlist.",
    ("playlists", MEMBER, False): "The episode is not in the playlist.",
    ("collections", WHOLE, True): "The collection is there, with what was in it.",
    ("collections", WHOLE, False): "The collection is deleted.",
    ("collections", MEMBER, True): "The podcast is in the collection.",
    ("collections", MEMBER, False): "The podcast is not in the collection.",
    ("devices", WHOLE, True): "The device is known, as it was.",
    ("devices", WHOLE, False): "The device is forgotten, until it comes again.",
    ("held_removals", WHOLE, True): "The user is asked whether to unfollow the podcast.",
    ("held_removals", WHOLE, False): "The user is not asked about the podcast.",
}


class EventPath(Struct):
    event_id: EventId


class OneBody(Struct):
    """`dry_run`: only report what would change."""

    dry_run: bool = False


class SinceBody(Struct):
    """Events by the app, the device, or both, as the history names them. `since` refers to the time of
    arrival at the server. `dry_run`: only report what would change."""

    at_least_one: ClassVar = ("device_id", "device_name", "app_id")

    since: Time
    device_id: DeviceId | None = None
    device_name: DeviceName | None = None
    app_id: AppName | None = None
    dry_run: bool = False


class UndoChange(Struct):
    """What is changed back. `now`: its values before the undo; `then`: its values after it. `undoes`: the
    events that this takes back, the oldest first."""

    topic: Topic
    part: PartName
    rss_source_feed: str | None
    rss_source_item: str | None
    guid: str | None
    enclosure_url: str | None
    list_id: str | None
    device: str | None
    now: Values
    then: Values
    words: str
    undoes: list[str]


class LaterEvent(Struct):
    event_id: str
    type: str
    happened_at: datetime | None
    recorded_at: datetime
    app_id: str | None
    device_id: str | None
    device_name: str | None


class NotUndone(Struct):
    """An event that is not undone, and why. `later`: the first of the events that build on it; `later_count`:
    how many there are."""

    event_id: str
    type: str
    reason: Reason
    detail: str
    later: list[LaterEvent]
    later_count: int


class UndoAnswer(Struct):
    """`status` is `dry_run` if nothing was recorded because only a dry run was asked for."""

    status: Status
    changes: list[UndoChange]
    skipped: list[NotUndone]


class EventUndoView(View):
    scopes = {"POST": "user.write"}

    @operation("Undo an event", answers={200: UndoAnswer}, bodiless=True, once=True)
    def post(self, request: Request, path: EventPath, body: OneBody) -> Response:
        """Restores what was there before the event, as a new change, so that it takes effect on every device.
        An undo is an event like any other, and can itself be undone. 404 for an event that the history does
        not have, or no longer has. 422 `later_changes` if something later builds on it (each is an error of
        its own, with its `event_id` in `attr`), `too_old` if what was there before is no longer kept event by
        event, `not_undoable` for what is not a change (shares, downloads), `nothing_to_undo` if that is the
        state already."""
        return _answer(request, Chosen(event_id=path.event_id), dry_run=body.dry_run)


class UndoView(View):
    scopes = {"POST": "user.write"}

    @operation("Undo what a device did", answers={200: UndoAnswer}, once=True)
    def post(self, request: Request, body: SinceBody) -> Response:
        """Undoes everything that has arrived from a device or an app since a time, the newest first, in
        one append. What others did later stays, and so does what they built on: `skipped` lists the
        latter. 422 `too_old` for a time since which not every event is kept, `nothing_to_undo` if nothing
        arrived since."""
        chosen = Chosen(
            since=body.since, device_id=body.device_id, device_name=body.device_name, app_id=body.app_id
        )
        return _answer(request, chosen, dry_run=body.dry_run)


def _answer(request: Request, chosen: Chosen, *, dry_run: bool) -> Response:
    user_id = caller_of(request).user_id
    if dry_run:
        return _refusing(lambda: _preview(user_id, chosen))
    return _refusing(lambda: _undo(request, user_id, chosen))


def _refusing(act: Callable[[], Response]) -> Response:
    try:
        return act()
    except NoSuchEvent:
        raise NotFound from None
    except UndoRefused as refused:
        raise Refused(refused.code, *_refusals(refused)) from None


def _preview(user_id: UUID, chosen: Chosen) -> Response:
    found = undo.preview(user_id, chosen, now())
    return answers.answer(_shown(found, "dry_run"), found.position)


def _undo(request: Request, user_id: UUID, chosen: Chosen) -> Response:
    done = undo.undo(
        user_id,
        chosen,
        answers.origin_of(request),
        now(),
        command_id=command_id(request),
        answer=lambda found: answers.stored(_shown(found, "success")),
    )
    announce(done.events)
    return answers.restored(done.answer, done.position)


def _refusals(refused: UndoRefused) -> list[FieldError]:
    """Return the refusal, and each of the events that prevent the undo."""
    errors = [FieldError(refused.code, refused.detail, None)]
    for one in refused.undo.plan.skipped[:1]:
        for later in _not_undone(refused.undo, one).later:
            source = later.device_name or later.device_id or later.app_id or "this instance"
            detail = f"{later.type}, arrived {later.recorded_at.isoformat(timespec='seconds')}, by {source}."
            errors.append(FieldError(refused.code, detail, later.event_id))
    return errors


def _shown(found: Undo, status: Status) -> UndoAnswer:
    changes = [_change(found, one) for one in found.plan.changes]
    return UndoAnswer(status, changes, [_not_undone(found, one) for one in found.plan.skipped])


def _change(found: Undo, change: Change) -> UndoChange:
    topic, key, _ = change.part
    feed, item = change.subject
    item, guid, enclosure_url = (None, None, None) if item is None else shown_item(item)
    is_list = topic in ("playlists", "collections")
    return UndoChange(
        topic,
        change.facet_name,
        feed,
        item,
        guid,
        enclosure_url,
        key if is_list else None,
        change.device,
        change.values(change.now),
        change.values(change.then),
        _words(change),
        list(found.ids_of(change.undone)),
    )


def _words(change: Change) -> str:
    """Return a sentence that says what the state will be."""
    then = change.values(change.then)
    match change.part.topic, change.facet_name:
        case "plays", _:
            played = "played" if then["played"] else "not played"
            return f"The episode is marked as {played}, at {then['position']} seconds."
        case "privacy", _:
            return f"The level is {then['level']}." if then["level"] else "There is no level of its own."
        case "settings", _:
            return "The settings are as they were."
        case _, "order":
            return "The order is as it was."
        case _, None | "member":
            name = MEMBER if change.facet_name else WHOLE
            return WORDS[change.part.topic, name, bool(change.then.shown[0])]
        case _, name:
            return f"{str(name).capitalize()} is {then[str(name)]!r}."


def _not_undone(found: Undo, one: Skipped) -> NotUndone:
    row = found.rows[one.number]
    later = [_later(found, number) for number in one.later[:MOST_LATER]]
    return NotUndone(row.event_id, row.type, one.reason, DETAILS[one.reason], later, len(one.later))


def _later(found: Undo, number: int) -> LaterEvent:
    row, origin = found.rows[number], origin_of(found.rows[number])
    happened_at = history.happened_at(found.history[number].event)
    return LaterEvent(
        row.event_id,
        row.type,
        happened_at,
        row.recorded_at,
        origin.app_id,
        origin.device_id,
        origin.device_name,
    )


paths = [path("events/<str:event_id>/undo", EventUndoView.as_view()), path("undo", UndoView.as_view())]
