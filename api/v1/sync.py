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
from api.fields import Cursor
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
# A cursor further behind than this gets everything, which is then the smaller answer to make.
MOST_EVENTS = 50_000


class SyncBody(SentData, dict=True):  # type: ignore[call-arg,misc]  # made from the registry
    """`cursor`: of the last answer; null or left out for everything. Send all that the device knows, or
    what changed since: the same entry twice does no harm."""

    # what was left out of it, for its address
    refused: ClassVar[list[Refusal]] = []

    cursor: Cursor | None = None


class SyncAnswer(Struct):
    """`data`: everything where `full`, else what has reached the server since the cursor, this device's own
    included. `conflicts`: the entries of the request that lost; of a list, its members are not named one by
    one. The `key` of a privacy setting is `user`, or `feed:` or `item:` and the name. `refused`: the entries
    of the request that were left out, since their addresses can never be accepted."""

    status: Success
    cursor: str
    full: bool
    data: SyncData
    conflicts: list[Conflict]
    refused: list[Refusal]


class _Place(Struct, array_like=True):
    """What a cursor holds: how far the user's stream had come, whose it is, and the log's epoch."""

    version: int
    owner: str
    epoch: str = ""


_PLACE = msgspec.json.Decoder(_Place).decode


class SyncView(View):
    scopes = {"POST": "user.sync"}

    @operation("Sync", answers={200: SyncAnswer}, largest=LARGEST, most_entries=MOST_ENTRIES)
    def post(self, request: Request, body: SyncBody) -> Response:
        """One unit: all of it is recorded, or nothing; but an entry whose address can never be accepted (with
        credentials, of another scheme, too long, …) is left out, and named in `refused`. At most 50,000
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
                conflicts=[shown(lost) for lost in sync.conflicts(outcome.user, command)],
                refused=body.refused,
            )

        answer = answers.dispatch_and_answer(request, command, render)
        if recorded:
            # an import of a whole library is then folded from one event
            retention.note_growth(log.stream_of(caller.user_id), settings.CHECKPOINT_EVERY)
        return answer


def _news(user_id: UUID, since: int, outcome: Outcome) -> list[Event] | None:
    """The events after version ``since`` up to the outcome's; None where the log cannot tell."""
    # the request's own are in hand, recorded or about to be
    stored = outcome.version - len(outcome.events) - since
    if stored == 0:
        return outcome.events
    if not 0 < stored <= MOST_EVENTS:
        return None
    try:
        found = events_since(user_id, since)
    except StreamUnreadable:
        # the state could be folded, so only its past is lost
        return None
    if found is None or len(found) < stored:
        return None
    # another process may have recorded more meanwhile, which the state does not hold
    news = found[:stored] + outcome.events
    # what was removed, or left out of a checkpoint, is told by its absence only
    return None if any(isinstance(event, EventsRemoved | UserCheckpoint) for event in news) else news


def cursor_of(version: int, user_id: UUID) -> str:
    """What a device sends back to be told what came after this version of its user's stream."""
    place = msgspec.json.encode(_Place(version, _owner(user_id), log.epoch()))
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def version_of(cursor: str, user_id: UUID) -> int | None:
    """None for one of before a restore: its version may stand for other events now. Raises ``Invalid`` for
    what this server did not give to this user."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = _PLACE(raw)
    except (ValueError, msgspec.DecodeError):
        place = _Place(-1, "")
    if place.version < 0 or place.owner != _owner(user_id):
        raise Invalid(FieldError("invalid", "Not a cursor that this user was given.", "cursor"))
    return place.version if place.epoch == log.epoch() else None


def _owner(user_id: UUID) -> str:
    # tells one user's cursor from another's; it opens nothing, so a short digest will do
    return hashlib.sha256(user_id.bytes).hexdigest()[:12]


paths = [path("sync", SyncView.as_view())]
