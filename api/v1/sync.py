"""Sync: a device sends what it knows and gets what it lacks, from the aggregate itself."""

import base64
import hashlib
from typing import ClassVar
from uuid import UUID

import msgspec
from django.conf import settings
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success
from api.auth import caller_of
from api.clock import now
from api.errors import FieldError, Invalid
from api.fields import SyncCursor
from api.operations import MIB, operation
from api.v1.entries import Conflict, SentData, command_of, show, shown
from api.validation import Refusal
from api.views import View
from eventstore import log, retention
from eventstore.dispatcher import Outcome, StreamUnreadable, events_since
from eventstore.domain import sync
from eventstore.domain.checkpoint import EventsRemoved, UserCheckpoint
from eventstore.domain.messages import Event
from eventstore.domain.sync import SyncData

LARGEST = 16 * MIB
MOST_ENTRIES = 50_000
# A cursor further behind than this gets everything, which is the smaller answer then.
MOST_EVENTS = 50_000


class SyncBody(SentData, dict=True):  # type: ignore[call-arg,misc]  # made from the registry
    """`cursor`: from the last answer; null or left out to get everything. Send all that the device knows, or
    what has changed since: sending the same entry twice does no harm."""

    # entries that were left out because of their addresses
    refused: ClassVar[list[Refusal]] = []

    cursor: SyncCursor | None = None


class SyncAnswer(Struct):
    """`data`: everything if `full`, or else what has reached the server since the cursor, including this
    device's own changes. `conflicts`: the entries of the request that lost; members of a list are not
    reported individually. The `key` of a privacy setting is `user`, or `feed:` or `item:` and the name.
    `refused`: the entries of the request that were left out, because their addresses can never be
    accepted."""

    status: Success
    cursor: str
    full: bool
    data: SyncData
    conflicts: list[Conflict]
    refused: list[Refusal]


class _Place(Struct, array_like=True):
    """The contents of a cursor: the version of the user's stream, a digest of the user, and the log's
    epoch."""

    version: int
    owner: str
    epoch: str = ""


_PLACE = msgspec.json.Decoder(_Place).decode


class SyncView(View):
    scopes = {"POST": "user.sync"}

    @operation("Sync", answers={200: SyncAnswer}, largest=LARGEST, most_entries=MOST_ENTRIES)
    def post(self, request: Request, body: SyncBody) -> Response:
        """All of the request is recorded, or nothing; but an entry whose address can never be accepted (with
        credentials, of another scheme, too long, …) is left out, and listed in `refused`. At most 50,000
        entries and 16 MiB."""
        caller = caller_of(request)
        since = None if body.cursor is None else version_of(body.cursor, caller.user_id)
        command = command_of(body, caller.user_id, now())
        recorded: list[Event] = []

        def render(outcome: Outcome) -> Struct:
            recorded.extend(outcome.events)
            news = None if since is None else _news(caller.user_id, since, outcome)
            return SyncAnswer(
                status="success",
                cursor=cursor_of(outcome.version, caller.user_id),
                full=news is None,
                data=show(sync.to_entries(outcome.user, news, command)),
                conflicts=[shown(conflict) for conflict in sync.conflicts(outcome.user, command)],
                refused=body.refused,
            )

        # where nothing is sent, the answer needs the states alone, without their keys
        whole = since is None and command.sent.size > 0
        answer = answers.dispatch_and_answer(request, command, render, whole=whole)
        if recorded:
            # the import of a whole library is then folded from a single event
            retention.note_growth(log.stream_of(caller.user_id), settings.CHECKPOINT_EVERY)
        return answer


def _news(user_id: UUID, since: int, outcome: Outcome) -> list[Event] | None:
    """Return the events after version ``since`` up to that of the outcome; None if the log cannot tell."""
    # the request's own events are at hand, recorded or about to be
    stored = outcome.version - len(outcome.events) - since
    if stored == 0:
        return outcome.events
    if not 0 < stored <= MOST_EVENTS:
        return None
    try:
        found = events_since(user_id, since)
    except StreamUnreadable:
        # the state could be folded, thus only its past is lost
        return None
    if found is None or len(found) < stored:
        return None
    # Another process may have recorded more meanwhile, which the state does not contain.
    news = found[:stored] + outcome.events
    # what was removed, or left out of a checkpoint, can only be noticed by its absence
    return None if any(isinstance(event, EventsRemoved | UserCheckpoint) for event in news) else news


def cursor_of(version: int, user_id: UUID) -> str:
    """Return the cursor with which a device asks for what came after this version of its user's stream."""
    place = msgspec.json.encode(_Place(version, _owner(user_id), log.epoch()))
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def version_of(cursor: str, user_id: UUID) -> int | None:
    """Return the version in a cursor; None for a cursor from before a restore, whose version may stand for
    other events now. Raises ``Invalid`` for a cursor that this server did not give to this user."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = _PLACE(raw)
    except (ValueError, msgspec.DecodeError):
        place = _Place(-1, "")
    if place.version < 0 or place.owner != _owner(user_id):
        raise Invalid(FieldError("invalid", "Not a cursor that this user was given.", "cursor"))
    return place.version if place.epoch == log.epoch() else None


def _owner(user_id: UUID) -> str:
    # distinguishes the cursors of users; it grants nothing, thus a short digest suffices
    return hashlib.sha256(user_id.bytes).hexdigest()[:12]


paths = [path("sync", SyncView.as_view())]
