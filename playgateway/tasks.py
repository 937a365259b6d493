"""Records plays that could not be recorded while their listener waited."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from celery import shared_task

from playgateway import recording, tokens
from playgateway.recording import Play
from projections.failures import is_outage

QUEUE: Final = "plays"
# Seconds between two attempts while a store is unavailable, and for how long attempts are made.
AGAIN: Final = 15
LONGEST: Final = timedelta(days=1)
# Logs of Celery and others must not reveal what somebody listens to.
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(a play)", "queue": QUEUE, "retry": False}


def record_later(play: Play) -> None:
    """Hand a play to the workers. Raises an error when Redis is unavailable. The message
    names the token, but no listener."""
    arguments = (
        play.bearer.token_id,
        play.feed,
        play.item,
        play.at.timestamp(),
        str(play.command_id),
        play.unsure,
    )
    record_play.apply_async(arguments, **UNNAMED)


@shared_task(bind=True, max_retries=None)
def record_play(
    task: Any, token_id: int, feed: str, item: str, at: float, command_id: str, unsure: bool
) -> None:
    """Record a play, retrying for up to a day while a store is unavailable. The play
    of a revoked token is dropped."""
    moment = datetime.fromtimestamp(at, UTC)
    try:
        bearer = tokens.find_by_id(token_id, moment)
        if bearer is not None:
            recording.record(Play(bearer, feed, item, moment, UUID(command_id), unsure))
    except Exception as failure:
        if not is_outage(failure):
            raise
        if datetime.now(UTC) - moment > LONGEST:
            recording.count("lost")
            return
        raise task.retry(countdown=AGAIN, argsrepr=UNNAMED["argsrepr"]) from None
