"""How views answer: writes go through the dispatcher, and reads wait for the position that the caller has
seen."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
from django.http import HttpResponse
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import grants
from accounts.grants import Caller
from api.auth import caller_of
from api.clock import now
from api.episodes import show_episodes
from api.errors import FieldError, Invalid
from api.fields import PageQuery
from api.parameters import POSITION, command_id, wanted_position
from api.renderers import JsonRenderer
from eventstore import log
from eventstore.appending import CommandAlreadyRecorded
from eventstore.dispatcher import CommandId, CommandIdReused, Outcome, Render, dispatch
from eventstore.domain.messages import Command, Origin
from eventstore.log import RememberedCommand
from jobs.announcing import announce
from projections import replicas
from projections.queries import Page, Query, wait_for

Success = Literal["success"]


class Done(Struct):
    status: Success


Row = TypeVar("Row")
Order = TypeVar("Order", bound=Command)


def answer(body: Struct | bytes, position: int, status: int = 200) -> Response:
    """Return a response with ``body``, which is a struct or is JSON already."""
    return Response(body, status, headers={POSITION: str(position)})


def ready(body: bytes, position: int) -> HttpResponse:
    """Return a response with JSON that is at hand: REST framework's takes twice as long to make."""
    return HttpResponse(body, content_type=JsonRenderer.media_type, headers={POSITION: str(position)})


def order(request: Request, command: Callable[..., Order], **fields: Any) -> Order:
    """Return a command of the caller, with the current time."""
    return command(user_id=caller_of(request).user_id, now=now(), **fields)


def dispatch_and_answer(
    request: Request,
    command: Command,
    render: Callable[[Outcome], Struct],
    *,
    creates: bool = False,
    whole: bool = False,
) -> Response:
    """Dispatch a command and answer with what ``render`` makes of its outcome.

    ``creates``: answer 201 if something was recorded. ``whole``: as in ``dispatch``. A repeat under the same
    Idempotency-Key gets the first answer again.
    """

    def rendered(outcome: Outcome) -> bytes:
        return stored(render(outcome), 201 if creates and outcome.events else 200)

    origin = origin_of(request, getattr(command, "at", None))
    outcome = record(command, origin, command_id=command_id(request), answer=rendered, whole=whole)
    return restored(outcome.answer, outcome.position)


def record(
    command: Command,
    origin: Origin,
    *,
    command_id: CommandId | None = None,
    answer: Render | None = None,
    whole: bool = False,
) -> Outcome:
    """Call ``dispatch``, and have the feeds fetched that the command begins to follow."""
    outcome = dispatch(command, origin, command_id=command_id, answer=answer, whole=whole)
    announce(outcome.events)
    return outcome


def origin_of(request: Request, at: datetime | None = None) -> Origin:
    """Return the app and device that a request comes from; ``at`` is the client's own time."""
    return origin_of_caller(caller_of(request), at)


def origin_of_caller(caller: Caller, at: datetime | None) -> Origin:
    return Origin(caller.app_id, caller.device_id, caller.device_name, at)


def stored(body: Struct, status: int = 200) -> bytes:
    """Return an answer as it is kept for repeats: three digits of status, then the body."""
    return b"%d" % status + msgspec.json.encode(body)


def restored(kept: bytes, position: int) -> Response:
    """Return the response for an answer that ``stored`` made."""
    return answer(kept[3:], position, int(kept[:3]))


def page(request: Request, projector: str, read: Callable[[], Page[Row]]) -> Page[Row]:
    """Return what ``read`` finds once the read model has reached the position that the caller has seen.

    Waits up to 2 seconds for that, then raises ``Behind``; raises ``Invalid`` for positions beyond the log.
    """
    wanted = wanted_position(request)
    with replicas.at_least(wanted):
        found = read()
        if found.position >= wanted:
            return found
        _check_known(wanted, log.head())
        wait_for(projector, wanted)
        return read()


def answer_page(
    request: Request,
    projector: str,
    read: Callable[[], Page[Row]],
    render: Callable[[list[Row], str | None], Struct],
) -> Response:
    """Answer with what ``render`` makes of the rows of a ``page`` and the cursor of the next page."""
    found = page(request, projector, read)
    return answer(render(found.rows, found.next), found.position)


def answer_entries(
    request: Request, listed: Query[Any], query: PageQuery, shape: Callable[[list[Any], str | None], Struct]
) -> Response:
    """Answer with a page of the caller's entries of a topic, each with all three ways of naming its
    episode."""
    caller = caller_of(request).user_id

    def render(entries: list[Any], following: str | None) -> Struct:
        show_episodes(entries)
        return shape(entries, following)

    read = partial(listed.page, [caller], {}, query.cursor, query.limit)
    return answer_page(request, listed.projector, read, render)


def consume_jti(request: Request) -> None:
    """Use up a token with a ``jti``. The repeat of a request under the same Idempotency-Key changes nothing,
    and is let through. Raises ``TokenError``."""
    if caller_of(request).jti is not None and remembered(request) is None:
        grants.consume_jti(caller_of(request))


def account_position(request: Request) -> int:
    """Return the position for reads of accounts, which are not made from events and thus always up to
    date."""
    wanted, head = wanted_position(request), log.head()
    _check_known(wanted, head)
    return head


def answer_once(request: Request, body: Struct, change: Callable[[], None], status: int = 200) -> Response:
    """Make a change that is not recorded as an event, repeatable like the others: its answer is kept beside
    theirs."""
    head = log.head()
    earlier = remembered(request)
    if earlier is not None:
        return restored(earlier.answer, earlier.position)
    change()
    remember(request, head, stored(body, status))
    return answer(body, head, status)


def remembered(request: Request) -> RememberedCommand | None:
    """Return the answer kept for the request's Idempotency-Key, if any. Raises ``CommandIdReused``."""
    identity = command_id(request)
    if identity is None:
        return None
    earlier = log.remembered_command(log.stream_of(caller_of(request).user_id), identity.key)
    if earlier is not None and earlier.fingerprint != identity.fingerprint:
        raise CommandIdReused
    return earlier


def remember(request: Request, position: int, kept: bytes) -> None:
    """Keep an answer for repeats, if the request has an Idempotency-Key."""
    identity = command_id(request)
    if identity is not None:
        with suppress(CommandAlreadyRecorded):  # a concurrent repeat was quicker; its answer is the same
            log.remember_command(log.stream_of(caller_of(request).user_id), identity, position, 0, kept)


def _check_known(wanted: int, head: int) -> None:
    """Raise ``Invalid`` for a position that this server cannot have given."""
    if wanted > head:
        detail = "This server has not come that far: the position is another server's, or older than a reset."
        raise Invalid(FieldError("unknown_position", detail, POSITION))
