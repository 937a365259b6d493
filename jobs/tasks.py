"""Periodic work, each task a call or two; when each runs is in balados/settings.py (CELERY_BEAT_SCHEDULE).

Every task may run twice or at the same time as itself: a worker that dies gives its task back.
"""

from datetime import timedelta

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from accounts.models import UsedToken
from eventstore import store

# how long an Idempotency-Key is remembered (docs/api.md says so to clients)
COMMANDS_KEPT = timedelta(hours=48)


@shared_task
def purge_commands() -> int:
    """Forget idempotency keys past their time. Returns how many."""
    return store.purge_commands(timezone.now() - COMMANDS_KEPT)


@shared_task
def purge_used_tokens() -> int:
    """Forget the ids of tokens that have expired: their expiry refuses them now. Returns how many."""
    return UsedToken.objects.filter(expires_at__lt=timezone.now()).delete()[0]


@shared_task
def clear_sessions() -> None:
    """Delete the browser sessions that have expired."""
    call_command("clearsessions")
