"""Periodic work, each task a call or two; when each runs is in balados/settings.py (CELERY_BEAT_SCHEDULE).

Every task may run twice or at the same time as itself: a worker that dies gives its task back.
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
from eventstore.log import Origin
from eventstore.retention import delete_old_commands
from jobs import retention
from projections.erasure import erase_history
from projections.failures import in_maintenance
from projections.held import held_before

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# how long an Idempotency-Key is remembered (docs/api.md says so to clients)
COMMANDS_KEPT = timedelta(hours=48)


def stepping_aside(work: Callable[P, R]) -> Callable[P, R | None]:
    """While a store takes no writes: a line in the log, and the next time does what is left."""

    @wraps(work)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return work(*args, **kwargs)
        except Exception as failure:
            if not in_maintenance(failure):
                raise
            logger.warning("%s: a store is in maintenance, the rest next time", work.__name__)
            return None

    return wrapped


@shared_task
@stepping_aside
def purge_commands() -> int:
    """Forget idempotency keys past their time. Returns how many."""
    return delete_old_commands(timezone.now() - COMMANDS_KEPT)


@shared_task
@stepping_aside
def run_worker() -> None:
    """Checkpoints, popularity, and what is too old. Leaves at once where the last run is still at it."""
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
    """Forget the ids of tokens that have expired: their expiry refuses them now. Returns how many."""
    return UsedToken.objects.filter(expires_at__lt=timezone.now()).delete()[0]


@shared_task
@stepping_aside
def clear_sessions() -> None:
    """Delete the sessions of browsers and of podcast apps that have ended."""
    SessionStore.clear_expired()
    app_login.clean_up(timezone.now())


@shared_task
@stepping_aside
def settle_removals() -> int:
    """Go on following what listeners were asked about and have not answered for too long. Returns how many
    podcasts that were."""
    now, settled = timezone.now(), 0
    for user_id, feeds in held_before(now - unfollowing.LONGEST_HELD):
        outcome = dispatch(unfollowing.discard(user_id, feeds, now), Origin(cause="removal_unanswered"))
        settled += len(outcome.events)
    return settled
