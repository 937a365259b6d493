"""Sends the mails of accounts, and retries when the mail server does not accept one.

A message names the kind of mail and the id of the user; no address and no link is stored in a queue.
"""

import logging
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any, Final
from uuid import UUID

import redis
from celery import Task, shared_task
from celery.exceptions import MaxRetriesExceededError
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts import mails
from accounts.mails import Kind
from accounts.models import User
from eventstore import counters
from projections.failures import in_maintenance, is_outage

logger = logging.getLogger(__name__)

# Retry after half a minute, then at growing intervals of up to ten minutes, for a day: by then the mail
# server works again, or nobody waits any more. The intervals are far below the hour after which Redis gives a
# message to another worker.
FIRST, LONGEST = timedelta(seconds=30), timedelta(minutes=10)
TRIES: Final = 150
# what other software logs of a message must not name its listener
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(a mail)", "retry": False}


@shared_task(bind=True, max_retries=TRIES)
def send(self: Task[Any, Any], kind: Kind, user_id: str | None, language: str) -> None:
    """Send a mail; do nothing if its user or address is gone."""
    try:
        user = None if user_id is None else User.objects.filter(pk=UUID(user_id), is_active=True).first()
        if user is not None and mails.send(kind, user, language, timezone.now()):
            counters.count("mails", "sent")
            _forget_old_address(kind, user)
    except Exception as failure:
        if _is_final(failure):
            counters.count("mails", "refused")
            logger.warning("The mail server refuses an address: a mail (%s) is not sent", kind)
            return
        if not (
            isinstance(failure, SMTPException | OSError) or in_maintenance(failure) or is_outage(failure)
        ):
            raise
        _try_again(self, kind, failure)


def order(kind: Kind, user_id: UUID | None, language: str, **_: Any) -> None:
    """Queue a mail for a worker. Raises ``redis.RedisError``."""
    arguments = (kind, None if user_id is None else str(user_id), language)
    try:
        send.apply_async(arguments, **UNNAMED)
    except OperationalError as failure:
        raise redis.ConnectionError("no mail can be ordered") from failure


def _is_final(failure: Exception) -> bool:
    """Whether the mail server has replied that it will never accept the mail."""
    if not isinstance(failure, SMTPRecipientsRefused):
        return False
    return all(code >= 500 for code, _ in failure.recipients.values())


def _try_again(task: Task[Any, Any], kind: Kind, failure: Exception) -> None:
    wait = min(FIRST * 2 ** min(task.request.retries, 10), LONGEST)
    name = type(failure).__name__
    try:
        counters.count("mails", "delayed")
        logger.warning("A mail (%s) cannot be sent now, and is tried again (%s)", kind, name)
        raise task.retry(countdown=wait.total_seconds())
    except MaxRetriesExceededError:
        counters.count("mails", "lost")
        logger.error("A mail (%s) could not be sent for a day, and is given up (%s)", kind, name)


def _forget_old_address(kind: Kind, user: User) -> None:
    if kind == "moved":
        User.objects.filter(pk=user.pk, old_email=user.old_email).update(old_email="")
