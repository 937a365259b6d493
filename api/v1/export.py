"""Exports everything of a listener as one JSON document, and imports it again."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from django.conf import settings
from django.urls import path
from msgspec import Struct, defstruct
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import profiles
from accounts.models import User
from api import answers
from api.answers import Success
from api.auth import caller_of
from api.clock import now
from api.fields import Flag, meta
from api.operations import MIB, operation
from api.v1.apps import App, listed_apps
from api.v1.entries import Conflict, SentData, command_of, lists_of_entries, show, shown
from api.v1.events import Cause, counted
from api.v1.listening import ListeningEntry, exported, import_of
from api.v1.tokens import Token, listed_tokens
from api.validation import Refusal, count_entries
from api.views import View
from eventstore import dispatcher, log
from eventstore.dispatcher import Outcome
from eventstore.domain import sync
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.collections import default_id
from eventstore.domain.identifiers import shown_item_or_none
from eventstore.domain.playlists import queue_id
from eventstore.domain.sync import SyncUserData
from eventstore.domain.topics import TOPICS
from eventstore.log import RecordedEvent
from eventstore.reading import decoded, origin_of
from projections import exposure
from projections.exposure import ActivityRow
from projections.queries import Page

# An export of 100,000 plays has 72 MB, and in addition what others may see of them; without the events it has
# 20.
LARGEST = 128 * MIB
MOST_ENTRIES = 250_000
# Events that are read and encoded at once, so that a long history is not in memory three times.
CHUNK = 5_000
CHECKPOINT = "UserCheckpoint"
DISPOSITION = 'attachment; filename="balados-export.json"'
# Entries recorded in one append: as many as a sync has at most.
PART = 50_000
Format = Annotated[Literal["balados-export"], meta("The kind of this document.")]
Version = Annotated[Literal[1], meta("The version of the document's format.")]
Kind = Annotated[str, meta("`subscribe`, `play`, `save` or `share`.")]


class ExportedEvent(Struct):
    """As it was recorded, except that a checkpoint is reduced to numbers: the lists of the export have its
    contents. `occurred_at` is the client's own time as it was sent."""

    version: int
    event_id: str
    type: str
    schema: int
    recorded_at: datetime
    app_id: str | None
    device_id: str | None
    device_name: str | None
    occurred_at: datetime | None
    cause: Cause
    data: msgspec.Raw


class ExportedActivity(Struct):
    """What others might see. `level`: the privacy level that applies to it; `shown`: whether others do see
    it, with the user's name if it is public, without if it is anonymous."""

    kind: Kind
    rss_source_feed: str
    rss_source_item: str | None
    guid: str | None
    enclosure_url: str | None
    happened_at: datetime | None
    withdrawn_at: datetime | None
    level: str
    shown: bool


class ExportedProfile(Struct):
    """What the user says about themselves; others see it if `is_public`. `avatar`: a WebP file in base64."""

    is_public: bool
    public_name: str
    bio: str
    links: list[str]
    avatar: bytes | None


class _Account(Struct):
    format: Format
    version: Version
    instance: str
    exported_at: datetime
    user_id: UUID
    username: str
    email: str
    date_joined: datetime


_State: Any = defstruct("_State", lists_of_entries(), bases=(_Account,))


class Export(_State):  # type: ignore[misc]  # made from the registry
    """Everything of the user. The lists before `listening` are the state, in the shapes of a sync.
    `hidden_podcasts`: digests of the feeds that the user does not want to see in what others follow and
    play."""

    listening: list[ListeningEntry]
    activity: list[ExportedActivity]
    apps: list[App]
    play_tokens: list[Token]
    profile: ExportedProfile
    hidden_podcasts: list[UUID]
    events: list[ExportedEvent]


class ExportQuery(Struct):
    events: Annotated[Flag, meta("`false` leaves out the history of events.")] = True


class ImportBody(SentData, kw_only=True, dict=True):  # type: ignore[call-arg,misc]  # made from the registry
    """An export, of this instance or another. The lists of the state are merged as a sync merges them, and
    `listening` is added; the rest, including the events, is ignored and may be left out. `user_id`: the user
    of the account that was exported."""

    # entries that were left out because of their addresses
    refused: ClassVar[list[Refusal]] = []

    format: Format
    version: Version
    user_id: UUID | None = None
    listening: list[ListeningEntry] = msgspec.field(default_factory=list)


class Imported(Struct):
    """`recorded`: how many events were recorded; 0 if everything was known. `conflicts`: the entries that
    lost to something later. `refused`: the entries that were left out, as a sync leaves them out."""

    status: Success
    recorded: int
    conflicts: list[Conflict]
    refused: list[Refusal]


class ExportView(View):
    scopes = {"GET": "user.read"}

    @operation("Export everything", answers={200: Export})
    def get(self, request: Request, query: ExportQuery) -> Response:
        """All that is kept of the user as one JSON document, including the history of events. It may be
        large: some 100 MB for 100,000 plays, and half of that with `events=false`, which an import does not
        need."""
        caller = caller_of(request)
        activity = answers.page(request, "public_events", lambda: exposure.activity(caller.user_id))
        content, position = document(caller.user_id, activity, caller.app_id, with_events=query.events)
        answer = answers.answer(content, min(position, activity.position))
        answer["Content-Disposition"] = DISPOSITION
        return answer


class ImportView(View):
    scopes = {"POST": "user.write"}

    @operation("Import an export", answers={200: Imported}, largest=LARGEST, most_entries=MOST_ENTRIES)
    def post(self, request: Request, body: ImportBody) -> Response:
        """Merges the contents of an export into the account, as a sync would: a new account gets the same
        state, and importing the same document again records nothing. At most 250,000 entries and 128 MiB. The
        entries are recorded in parts of 50,000: repeat the import to complete one that was interrupted."""
        user_id, origin = caller_of(request).user_id, answers.origin_of(request)
        parts = parts_of(body, user_id, now())
        heard = answers.record(import_of(body.listening, user_id, now()), origin)
        results: dict[int, tuple[int, list[Struct]]] = {-1: (len(heard.events), [])}

        def render(number: int, outcome: Outcome) -> Imported:
            # rendered now, as the next command may change the state
            of_part = [shown(one) for one in sync.conflicts(outcome.user, parts[number])]
            results[number] = len(outcome.events), of_part
            conflicts = [one for _, some in results.values() for one in some]
            return Imported("success", sum(events for events, _ in results.values()), conflicts, body.refused)

        for number, part in enumerate(parts[:-1]):
            answers.record(part, origin, answer=partial(_stored, render, number))
        return answers.dispatch_and_answer(request, parts[-1], partial(render, len(parts) - 1))


def document(
    user_id: UUID, activity: Page[ActivityRow], calling: str = "", *, with_events: bool = True
) -> tuple[bytes, int]:
    """Return the JSON of an ``Export``, and the log position that it reflects. ``calling``: the id of the app
    that asks."""
    user = User.objects.get(pk=user_id)
    stream = dispatcher.state_of(user_id)
    data = show(sync.to_entries(stream.read_whole()))
    export = Export(
        format="balados-export",
        version=1,
        instance=settings.PUBLIC_URL,
        exported_at=now(),
        user_id=user_id,
        username=user.username,
        email=user.email or user.new_email,
        date_joined=user.date_joined,
        **{name: getattr(data, name) for name in data.__struct_fields__},
        listening=exported(user_id),
        activity=[_activity(row) for row in activity.rows],
        apps=listed_apps(user_id, calling),
        play_tokens=listed_tokens(user_id),
        profile=_profile(user),
        hidden_podcasts=user.hidden_podcasts,
        events=[],
    )
    content = msgspec.json.encode(export)
    return _with_events(content, stream.id, stream.version) if with_events else content, stream.position


def parts_of(body: ImportBody, user_id: UUID, now: datetime) -> list[SyncUserData]:
    """Return the commands that merge an export into the account of ``user_id``, in their order."""
    return split(command_of(with_own_lists(body, user_id), user_id, now), PART)


def _stored(render: Callable[[int, Outcome], Struct], number: int, outcome: Outcome) -> bytes:
    return answers.stored(render(number, outcome))


def with_own_lists(body: ImportBody, user_id: UUID) -> ImportBody:
    """Replace the default collection and the queue of the exported account by the caller's own."""
    theirs = None if body.user_id is None else default_id(body.user_id)
    mine = default_id(user_id)
    collections = [
        msgspec.structs.replace(one, id=mine) if one.is_default or one.id == theirs else one
        for one in body.collections
    ]
    their_queue = None if body.user_id is None else queue_id(body.user_id)
    playlists = [
        msgspec.structs.replace(one, id=queue_id(user_id))
        if one.kind == "queue" or one.id == their_queue
        else one
        for one in body.playlists
    ]
    return msgspec.structs.replace(body, collections=collections, playlists=playlists)


def split(command: SyncUserData, most: int) -> list[SyncUserData]:
    """Split the command into commands of at most ``most`` entries (more if a list alone has more); at least
    one."""
    parts = [SyncUserData(user_id=command.user_id, now=command.now)]
    room = most
    # A new account gets its default collection with its first subscription, and a privacy setting that hides
    # something should apply before that is there: hence the last topics come first.
    for topic in reversed(TOPICS):
        for entry in getattr(command, topic.plural):
            size = 1 + count_entries(entry)
            if most > room and size > room:
                parts.append(SyncUserData(user_id=command.user_id, now=command.now))
                room = most
            getattr(parts[-1], topic.plural).append(entry)
            room -= size
    return parts


def _with_events(export: bytes, stream: int, version: int) -> bytes:
    """Return an export whose last field has no events, with those of the stream up to ``version``."""
    content = bytearray(export.removesuffix(b"]}"))
    for after in range(0, version, CHUNK):
        rows = log.read_stream(stream, after, min(after + CHUNK, version))
        if rows:
            content += b"" if content.endswith(b"[") else b","
            content += msgspec.json.encode([_event(row) for row in rows])[1:-1]
    return bytes(content + b"]}")


def _profile(user: User) -> ExportedProfile:
    profile = profiles.of(user)
    texts = profile.is_public, profile.public_name, profile.bio, profile.links
    return ExportedProfile(*texts, profiles.largest(profile))


def _activity(row: ActivityRow) -> ExportedActivity:
    feed, times = (row.kind, row.rss_source_feed), (row.happened_at, row.withdrawn_at)
    return ExportedActivity(*feed, *shown_item_or_none(row.rss_source_item), *times, row.level, row.shown)


def _event(row: RecordedEvent) -> ExportedEvent:
    origin = origin_of(row)
    data = row.data.encode()
    if row.type == CHECKPOINT and isinstance(event := decoded(row), UserCheckpoint):
        data = msgspec.json.encode(counted(event))
    return ExportedEvent(
        version=row.version,
        event_id=row.event_id,
        type=row.type,
        schema=row.schema,
        recorded_at=row.recorded_at,
        app_id=origin.app_id,
        device_id=origin.device_id,
        device_name=origin.device_name,
        occurred_at=origin.occurred_at,
        cause=origin.cause,
        data=msgspec.Raw(data),
    )


paths = [path("export", ExportView.as_view()), path("import", ImportView.as_view())]
