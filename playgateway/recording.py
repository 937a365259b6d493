"""Records plays: each with the position that is known, and only once however often it is tried."""

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
    """A play to record: the token and its listener, the feed and item (names as
    apps spell them), and the time.

    ``unsure`` says that it could not be checked whether one was recorded a moment ago (``window.Unknown``).
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
    """Record the play, once even if called twice. Raises what ``dispatch`` raises, except for erased
    listeners and for what the domain refuses: then nothing is recorded."""
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
    """Count the outcome of a play for the metrics."""
    counters.count("plays", outcome)
