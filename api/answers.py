"""Answers, straight to bytes; writes through the dispatcher, reads that wait for what the caller has seen."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
from django.http import HttpResponse
from msgspec import Struct
from rest_framework.request import Request

from accounts import grants
from api.auth import caller_of
from api.errors import Invalid
from api.faults import Fault
from api.parameters import POSITION, command_id, wanted_position
from eventstore import log
from eventstore.dispatcher import CommandIdReused, Outcome, dispatch
from eventstore.domain.user import UserCommand
from eventstore.log import CommandAlreadyRecorded, Origin
from projections import replicas
from projections.queries import Page, wait_for

Success = Literal["success"]
Row = TypeVar("Row")


def answer(body: Struct, position: int, status: int = 200) -> HttpResponse:
    return _response(msgspec.json.encode(body), position, status)


def document(content: bytes, position: int) -> HttpResponse:
    """An answer whose body is JSON already."""
    return _response(content, position, 200)


def write(
    request: Request,
    command: UserCommand,
    render: Callable[[Outcome], tuple[int, Struct]],
    *,
    body: Struct | None = None,
    at: datetime | None = None,
) -> HttpResponse:
    """Dispatch a command and answer with what ``render`` makes of its outcome: the status and the body.

    ``at`` is the client's own time. Under an Idempotency-Key the first answer is given again.
    """
    caller = caller_of(request)
    origin = Origin(caller.app_id, caller.device_id, caller.device_name, at)

    def rendered(outcome: Outcome) -> bytes:
        status, content = render(outcome)
        # kept together: the repeat gives back both
        return b"%d" % status + msgspec.json.encode(content)

    outcome = dispatch(command, origin, command_id=command_id(request._request, body), answer=rendered)
    return stored(outcome.answer, outcome.position)


def stored(rendered: bytes, position: int) -> HttpResponse:
    """The answer in what is kept for repeats: three digits of status, then the body."""
    return _response(rendered[3:], position, int(rendered[:3]))


def page(request: Request, projector: str, read: Callable[[], Page[Row]]) -> Page[Row]:
    """What ``read`` finds once the read model has come to the position that the caller has seen.

    Waits for it up to 2 seconds, then raises ``Behind``; ``Invalid`` for positions beyond the log.
    """
    wanted = wanted_position(request._request)
    found = read()
    if found.position >= wanted:
        return found
    check_known(wanted, log.head())
    # a replica may have answered that is behind
    with replicas.primary():
        reached = wait_for(projector, wanted)
        found = read()
    return found._replace(position=max(found.position, reached))


def spend(request: Request) -> None:
    """Use up the token of a deletion, if it has a ``jti``. Its repeat under the same Idempotency-Key changes
    nothing, and is let through. Raises ``TokenError``."""
    caller = caller_of(request)
    if caller.jti is None:
        return
    identity = command_id(request._request, None)
    if identity is None or log.remembered_command(log.stream_of(caller.user_id), identity.key) is None:
        grants.spend(caller)


def account_position(request: Request) -> int:
    """The position for reads of accounts, which are not made of events and so always up to date."""
    wanted, head = wanted_position(request._request), log.head()
    check_known(wanted, head)
    return head


def write_account(request: Request, body: Struct, change: Callable[[], None]) -> HttpResponse:
    """A write outside of the events, repeatable like the others: the answer is kept beside theirs."""
    identity = command_id(request._request, None)
    head = log.head()
    content = msgspec.json.encode(body)
    if identity is None:
        change()
        return _response(content, head, 200)
    stream = log.stream_of(caller_of(request).user_id)
    earlier = log.remembered_command(stream, identity.key)
    if earlier is not None:
        if earlier.fingerprint != identity.fingerprint:
            raise CommandIdReused
        return stored(earlier.answer, earlier.position)
    change()
    with suppress(CommandAlreadyRecorded):  # its twin was quicker, and gives the same answer
        log.remember_command(stream, identity, head, 0, b"200" + content)
    return _response(content, head, 200)


def check_known(wanted: int, head: int) -> None:
    """Raise ``Invalid`` for a position that this server cannot have given."""
    if wanted > head:
        detail = (
            "This server has not come that far: the position is another server's, or of before a restore."
        )
        raise Invalid([Fault("unknown_position", detail, POSITION)])


def _response(content: bytes, position: int, status: int) -> HttpResponse:
    headers: dict[str, Any] = {POSITION: str(position)}
    return HttpResponse(content, content_type="application/json", status=status, headers=headers)
