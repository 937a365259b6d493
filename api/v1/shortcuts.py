"""The requests of the API that are answered from the event loop: those that apps send most often."""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.http import QueryDict

from accounts.gates import DirectAnswer, has_body
from accounts.grants import FIND_GRANT
from api import shortcuts
from api.clock import now
from api.errors import Invalid
from api.parameters import POSITION, read_position, read_query
from api.renderers import JsonRenderer
from api.throttles import GrantLimit
from api.v1.subscriptions import SubscriptionsQuery, SubscriptionsView, place_of
from feeds.queries import VERSION
from projections import queries, unchanged
from projections.pipeline import Pipeline
from projections.unchanged import Question

LISTED: Final = "/api/v1/subscriptions"
# for what is the same for every request
_LISTS: Final = SubscriptionsView()


class ListedSubscriptions:
    """Answers with the first page of a listener's subscriptions where this process has kept it, and it is
    current."""

    def __init__(self, system: Pipeline, projections: Pipeline) -> None:
        self._system, self._projections = system, projections

    async def answer(self, environment: Mapping[str, Any], body: BytesIO) -> DirectAnswer | None:
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
        caller = shortcuts.caller_of(sender, await grant, SubscriptionsView.scopes["GET"], moment)
        version, digest = await versions, await digests
        if caller is None or not version or digest is None:
            return None
        position, found = unchanged.digest_in(digest)
        if found is None or (version[0][0], found) != (kept.feed_version, kept.digest):
            return None
        if position < _wanted(environment) or not GrantLimit.use_counted(caller):
            return None
        own = {POSITION: str(position), "Content-Type": JsonRenderer.media_type}
        return shortcuts.answer(_LISTS, LISTED, caller, kept.body, own)


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
