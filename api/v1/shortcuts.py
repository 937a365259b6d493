"""The requests of the API that are answered from the event loop: those that apps send most often."""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from django.conf import settings
from django.http import QueryDict
from rest_framework.exceptions import APIException

from accounts.gates import DirectAnswer, has_body
from accounts.grants import FIND_GRANT
from api import shortcuts
from api.answers import origin_of_caller
from api.clock import now
from api.errors import Invalid
from api.operations import SMALL
from api.parameters import POSITION, read_position, read_query
from api.parsers import decode, is_json
from api.renderers import JsonRenderer
from api.shortcuts import Sender
from api.throttles import COUNTED
from api.v1.plays import PlayBody, PlaysView, play_of, written
from api.v1.subscriptions import SubscriptionsQuery, SubscriptionsView, place_of
from api.views import FAILURE
from eventstore import elsewhere, log, steps
from eventstore.domain.messages import Origin
from eventstore.domain.plays import RecordPlay
from eventstore.domain.topics import Keys
from eventstore.domain.user import keys
from eventstore.log import HINT
from eventstore.steps import Decided
from eventstore.streams import NotAtHand
from feeds.queries import VERSION
from jobs.announcing import announce
from projections import queries, unchanged
from projections.pipeline import Appends, OutcomeUnknown, Pipeline, Row
from projections.unchanged import Question

LISTED: Final = "/api/v1/subscriptions"
PLAYS: Final = "/api/v1/plays"
# How often a play is decided, while other processes record something of the same listener.
ATTEMPTS: Final = 4
# for what is the same for every request
_LISTS, _PLAYS = SubscriptionsView(), PlaysView()


class ListedSubscriptions:
    """Answers with the first page of a listener's subscriptions where this process has kept it, and it is
    current."""

    def __init__(self, system: Pipeline, projections: Pipeline) -> None:
        self._system, self._projections = system, projections

    async def answer(self, environment: dict[str, Any], body: BytesIO) -> DirectAnswer | None:
        if environment["PATH_INFO"] != LISTED or environment["REQUEST_METHOD"] != "GET":
            return None
        moment, query = now(), _query(environment["QUERY_STRING"])
        # which replica may answer is decided by what has been seen of them
        if query is None or settings.PROJECTIONS_REPLICAS or has_body(environment):
            return None
        sender = shortcuts.sender_of(environment, moment)
        if sender is None:
            return None
        user_id = sender.claims.user_id
        kept = place_of(user_id, False, None, query.limit).kept
        if kept is None:
            return None
        asked = _question(user_id, query.limit)
        grant = self._system.ask(FIND_GRANT, sender.grant)
        versions = self._system.ask(VERSION, {})
        digests = self._projections.ask(asked.statement, asked.values)
        allowed = shortcuts.allowed(sender, await grant, SubscriptionsView.scopes["GET"])
        version, digest = await versions, await digests
        if allowed is None or not version or digest is None:
            return None
        position, found = unchanged.digest_in(digest)
        if found is None or (version[0][0], found) != (kept.feed_version, kept.digest):
            return None
        if position < _wanted(environment) or not await shortcuts.admit(allowed, moment):
            return None
        own = {POSITION: str(position), "Content-Type": JsonRenderer.media_type}
        return shortcuts.answer(_LISTS, LISTED, allowed.caller, kept.body, own)


class RecordedPlays:
    """Records a play, where that is all that it leads to."""

    def __init__(self, system: Pipeline, events: Pipeline, appends: Appends) -> None:
        self._system, self._events, self._appends = system, events, appends
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, environment: dict[str, Any], body: BytesIO) -> DirectAnswer | None:
        if environment["PATH_INFO"] != PLAYS or environment["REQUEST_METHOD"] != "POST":
            return None
        moment = now()
        sender = shortcuts.sender_of(environment, moment)
        play = None if sender is None else _play(environment, body.getvalue())
        if sender is None or play is None:
            return None
        # a listener's plays take turns: of two decided at once, one would have to be decided again
        async with self._turns.setdefault(sender.claims.user_id, asyncio.Lock()):
            return await self._record(environment, sender, play_of(sender.claims.user_id, moment, play))

    async def _record(
        self, environment: dict[str, Any], sender: Sender, command: RecordPlay
    ) -> DirectAnswer | None:
        named = keys(command)
        grant, state = self._system.ask(FIND_GRANT, sender.grant), self._read(command, named)
        allowed = shortcuts.allowed(sender, await grant, _PLAYS.scopes["POST"])
        if allowed is None:
            return None
        origin = origin_of_caller(allowed.caller, command.at)
        for _ in range(ATTEMPTS):
            rows = await state
            decided = None if rows is None else steps.decide(command, named, rows)
            if decided is None:
                return None
            written, append = _written(decided, command, origin), steps.to_append(decided, origin)
            if written is None or append is None:
                return None
            if COUNTED not in environment and not await shortcuts.admit(allowed, command.now):
                return None
            environment[COUNTED] = True
            try:
                found = await self._appends.ask(*append, order=decided.stream.id)
            except OutcomeUnknown as failure:
                environment[FAILURE] = failure
                return None
            if found is None:
                return None
            position = int(found[0][0] or 0) if found else None
            steps.recorded(decided, position)
            if position is not None:
                self._announce(decided)
                own = {"Content-Type": JsonRenderer.media_type, POSITION: str(position)}
                return shortcuts.answer(_PLAYS, PLAYS, allowed.caller, written, own)
            state = self._read(command, named)
        return None

    def _read(self, command: RecordPlay, named: Keys) -> "asyncio.Future[list[Row] | None]":
        asked = steps.question(command.user_id, named)
        return self._events.ask(asked.statement, asked.values)

    def _announce(self, decided: Decided) -> None:
        """Let those know who wait for what was recorded."""
        announce(decided.outcome.events)
        if log.may_notify():
            self._events.ask(HINT, {})


def _play(environment: Mapping[str, Any], raw: bytes) -> PlayBody | None:
    """Return the play in a body; None for what is to be refused, and for the repeat of a request."""
    if environment["QUERY_STRING"] or "HTTP_IDEMPOTENCY_KEY" in environment or not is_json(environment):
        return None
    if environment.get("CONTENT_LENGTH") != str(len(raw)) or len(raw) > SMALL:
        return None
    try:
        return decode(PlayBody, raw)
    except APIException:
        return None


def _written(decided: Decided, command: RecordPlay, origin: Origin) -> bytes | None:
    """Return the body of the answer; None if more is to be read for it, as it is where another device has
    reported something later."""
    try:
        if elsewhere.later(decided.outcome.user, command) is not None:
            return None
        return msgspec.json.encode(written(decided.outcome, command, origin))
    except NotAtHand:
        return None


@lru_cache(maxsize=256)
def _query(text: str) -> SubscriptionsQuery | None:
    """Read a query string; None for one that is to be refused, or that asks for more than the first page of
    what is followed."""
    if len(text) > shortcuts.LONGEST_QUERY:
        return None
    try:
        query = read_query(SubscriptionsQuery, QueryDict(text))
    except Invalid:
        return None
    return query if query.include is None and query.cursor is None else None


@lru_cache(maxsize=1_024)
def _question(user_id: UUID, limit: int) -> Question:
    return unchanged.question(lambda read: queries.subscriptions(user_id, limit=limit, read=read))


def _wanted(environment: Mapping[str, Any]) -> float:
    """Return the position that the answer must reflect: one that is never reached, if it is to be refused."""
    try:
        return read_position(environment.get("HTTP_BALADOS_POSITION"))
    except Invalid:
        return float("inf")
