"""Carrying out a removal: the one command that changes what was recorded."""

from collections.abc import Callable
from typing import NamedTuple

from eventstore import dispatcher, erasure, log
from eventstore.dispatcher import ATTEMPTS, CommandId, Conflict
from eventstore.domain import removal
from eventstore.domain.removal import RemoveEvents
from eventstore.log import CommandAlreadyRecorded, Origin
from eventstore.streams import Folded, decode


class Removed(NamedTuple):
    """``events``: how many were deleted, each of which held something of what is gone. ``answer``: what was
    rendered, of the first time where the command id was known.
    """

    events: int
    position: int
    answer: bytes


Render = Callable[[int], bytes]


def remove(
    command: RemoveEvents,
    origin: Origin,
    *,
    command_id: CommandId | None = None,
    answer: Render = lambda events: b"",
) -> Removed:
    """Take a feed, an item or everything out of a user's history for good, in one transaction of the store.

    ``answer`` renders what to give back from the number of events deleted. Raises as ``dispatcher.dispatch``.
    """
    with dispatcher.hold(command.user_id) as folded:
        for _ in range(ATTEMPTS):
            folded.catch_up()
            if command_id is not None and (first := dispatcher.earlier(folded, command_id)) is not None:
                return Removed(0, first.position, first.answer)
            try:
                removed = _remove(folded, command, origin, command_id, answer)
            except CommandAlreadyRecorded:
                continue  # its twin was quicker
            if removed is not None:
                break
            log.check_not_erased(folded.stream)
        else:
            raise Conflict
    log.notify()
    return removed


def _remove(
    folded: Folded, command: RemoveEvents, origin: Origin, command_id: CommandId | None, answer: Render
) -> Removed | None:
    """None when the stream has moved on."""
    rows = log.read_stream(folded.stream, upto=folded.version)
    indexes, events = removal.remove(decode(rows), command)
    rendered = answer(len(indexes))
    if not events:
        if command_id is not None:
            log.remember_command(folded.stream, command_id, folded.position, folded.version, rendered)
        return Removed(0, folded.position, rendered)
    versions = [rows[index].version for index in indexes]
    position = erasure.replace_history(
        folded.stream, folded.version, versions, events, origin, command_id, rendered
    )
    if position is None:
        return None
    folded.recorded(events, position)
    return Removed(len(indexes), position, rendered)
