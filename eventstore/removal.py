"""Carries out a removal, the one command that deletes recorded events."""

from collections.abc import Callable
from typing import NamedTuple

from eventstore import dispatcher, erasure, log
from eventstore.appending import CommandAlreadyRecorded
from eventstore.dispatcher import ATTEMPTS, CommandId, Conflict
from eventstore.domain import removal
from eventstore.domain.messages import Origin
from eventstore.domain.removal import RemoveEvents
from eventstore.reading import senders
from eventstore.streams import Stream, decode, folded, kept_entries


class Removed(NamedTuple):
    """The result of a removal. ``events``: how many were deleted, each of which held something of what was
    removed. ``answer``: what was rendered, or the first answer where the command id was known."""

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
    """Remove a feed, an item or everything from a user's history for good, in one transaction of the store.

    ``answer`` renders the response from the number of deleted events. Raises as ``dispatcher.dispatch``.
    """
    for _ in range(ATTEMPTS):
        stream = dispatcher.state_of(command.user_id)
        if command_id is not None and (first := dispatcher.earlier(stream, command_id)) is not None:
            return Removed(0, first.position, first.answer)
        try:
            removed = _remove(stream, command, origin, command_id, answer)
        except CommandAlreadyRecorded:
            continue  # the same command was recorded concurrently
        if removed is not None:
            log.notify()
            return removed
        log.check_not_erased(stream.id)
    raise Conflict


def _remove(
    stream: Stream, command: RemoveEvents, origin: Origin, command_id: CommandId | None, answer: Render
) -> Removed | None:
    """Return None when the stream has moved on."""
    rows = log.read_stream(stream.id, upto=stream.version)
    indexes, events = removal.remove(decode(rows), command, senders(rows))
    rendered = answer(len(indexes))
    if not events:
        if command_id is not None:
            log.remember_command(stream.id, command_id, stream.position, stream.version, rendered)
        return Removed(0, stream.position, rendered)
    versions = [rows[index].version for index in indexes]
    kept = kept_entries(folded(command.user_id, events))
    position = erasure.replace_history(
        stream.id, stream.version, versions, events, kept, origin, command_id, rendered
    )
    return None if position is None else Removed(len(indexes), position, rendered)
