"""Records plays: each with the position that is known, and once, however often that is tried."""

import logging
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from msgspec import Struct

from eventstore import counters
from eventstore.dispatcher import CommandId, Origin, dispatch
from eventstore.domain.errors import DomainError
from eventstore.domain.plays import RecordPlay
from eventstore.log import StreamErased
from playgateway import tokens, window
from playgateway.tokens import Bearer

logger = logging.getLogger(__name__)

APP: Final = "play-gateway"
FINGERPRINT: Final = b"play"


class Play(Struct, frozen=True):
    """A play to record: whose, by which token, of what (names as apps spell them), and when.

    ``unsure``: whether one was recorded a moment ago could not be asked (``window.Unknown``).
    """

    bearer: Bearer
    feed: str
    item: str
    at: datetime
    command_id: UUID
    unsure: bool = False


def new_play(bearer: Bearer, feed: str, item: str, at: datetime, *, unsure: bool = False) -> Play:
    return Play(bearer, feed, item, at, uuid4(), unsure)


def record(play: Play) -> None:
    """Record it, once whoever asks twice. Raises what ``dispatch`` does, but for erased listeners and what
    the domain refuses, of which nothing is recorded."""
    since = play.at - window.WINDOW if play.unsure else None
    command = RecordPlay(
        user_id=play.bearer.user_id,
        now=play.at,
        feed=play.feed,
        item=play.item,
        position=None,
        played=None,
        unless_since=since,
    )
    origin = Origin(APP, f"play-token-{play.bearer.token_id}", play.bearer.name)
    try:
        outcome = dispatch(command, origin, command_id=CommandId(play.command_id, FINGERPRINT))
    except (DomainError, StreamErased) as reason:
        count("refused")
        logger.info("A play is not recorded: %s", type(reason).__name__)
        return
    if outcome.events and not outcome.replayed:
        tokens.note_play(play.bearer.token_id)
        count("recorded")


def count(outcome: str) -> None:
    """For the metrics: what became of a play."""
    counters.count("plays", outcome)
