"""Periodic tasks, each a call or two; balados/settings.py has their schedule (CELERY_BEAT_SCHEDULE).

Every task may run twice, or concurrently with itself, because the task of a worker that dies is given to
another.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

from celery import shared_task
from django.utils import timezone

from accounts import app_login, erasure, ledger
from accounts.models import UsedToken
from accounts.sessions import SessionStore
from eventstore.dispatcher import dispatch
from eventstore.domain import unfollowing
from eventstore.domain.messages import Origin
from eventstore.retention import delete_old_commands
from jobs import retention
from projections.erasure import erase_history
from projections.failures import in_maintenance, is_outage
from projections.held_removals import held_before

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# how long an Idempotency-Key is remembered (docs/api.md tells clients)
COMMANDS_KEPT = timedelta(hours=48)


def stepping_aside(work: Callable[P, R]) -> Callable[P, R | None]:
    """Decorate a task so that while a store is away or accepts no writes it only logs a line, and the next
    run does the rest."""

    @wraps(work)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return work(*args, **kwargs)
        except Exception as failure:
            if not is_outage(failure):
                raise
            reason = "in maintenance" if in_maintenance(failure) else f"away ({type(failure).__name__})"
            logger.warning("%s: a store is %s, the rest next time", work.__name__, reason)
            return None

    return wrapped


@shared_task
@stepping_aside
def purge_commands() -> int:
    """Delete expired idempotency keys. Returns how many."""
    return delete_old_commands(timezone.now() - COMMANDS_KEPT)


@shared_task
@stepping_aside
def run_worker() -> None:
    """Take checkpoints, recalculate popularity, and delete what is too old. Returns at once if the previous
    run is still active."""
    try:
        retention.run()
    except retention.AlreadyRunning:
        logger.info("The worker is still running: nothing done")


@shared_task
@stepping_aside
def finish_erasures() -> int:
    """Erase what is left of accounts whose erasure was interrupted. Returns how many there were."""
    ledger.top_up()
    users = erasure.begun()
    for user_id in users:
        erasure.complete(user_id, erase_history)
    return len(users)


@shared_task
@stepping_aside
def purge_used_tokens() -> int:
    """Delete the ids of expired tokens, which are now refused because they have expired. Returns how many."""
    return UsedToken.objects.filter(expires_at__lt=timezone.now()).delete()[0]


@shared_task
@stepping_aside
def clear_sessions() -> None:
    """Delete the expired sessions of browsers and of podcast apps."""
    SessionStore.clear_expired()
    app_login.clean_up(timezone.now())


@shared_task
@stepping_aside
def settle_removals() -> int:
    """Settle removals that listeners were asked about and have not answered for too long: the podcasts stay
    followed. Returns how many podcasts that were."""
    now, recorded = timezone.now(), 0
    for user_id, feeds in held_before(now - unfollowing.LONGEST_HELD):
        outcome = dispatch(unfollowing.discard(user_id, feeds, now), Origin(cause="removal_unanswered"))
        recorded += len(outcome.events)
    return recorded
