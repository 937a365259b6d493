"""Erases an account for good. The scheduler finishes an erasure that was interrupted.

First the account is closed, so that no log-in, session or app gets in any more. Then it is entered in the
ledger that restores use, and everything known about the user is deleted, store by store; the user's row is
deleted last, because it shows that there is work left.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from accounts import app_log, ledger, refusals
from accounts.app_models import AppPassword, AppSession, LoginFlow, SyncMark
from accounts.import_models import ServerImport
from accounts.models import AppGrant, Avatar, PlayToken, Profile, Session, UsedToken, User
from eventstore.erasure import digest_of
from eventstore.failpoints import failpoint

# erases a user's events and read models; returns how many of each kind (projections.erasure)
EraseHistory = Callable[[UUID], Mapping[str, int]]


def begin(user_id: UUID, now: datetime) -> None:
    """Close the account for good; ``complete`` deletes the rest of it, at any later time."""
    User.objects.filter(pk=user_id).update(is_active=False, erasing_since=now)


def begun() -> list[UUID]:
    """Return the accounts that are closed but not yet deleted."""
    return list(
        User.objects.exclude(erasing_since=None).order_by("erasing_since").values_list("pk", flat=True)
    )


def complete(user_id: UUID, erase_history: EraseHistory) -> dict[str, int]:
    """Erase what is left of a closed account; returns how many rows of each kind were deleted. May be
    repeated.

    Raises the errors of a store that is unavailable: the rest is then erased later.
    """
    ledger.record({digest_of(user_id)})
    failpoint("ledgered")
    counts = Counter(erase_history(user_id))
    refusals.delete_refusals(user_id)
    app_log.delete_lines(user_id)
    failpoint("history_erased")
    with transaction.atomic(using="system"):
        counts += _erase_account(user_id)
        failpoint("account_erasing")
    return dict(+counts)


def _erase_account(user_id: UUID) -> Counter[str]:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return Counter()
    names = {user.username, user.username_key}
    user_type = ContentType.objects.get_for_model(User)
    found = {
        "sessions": Session.objects.filter(user_id=user_id),
        "profiles": Profile.objects.filter(user=user),
        "avatars": Avatar.objects.filter(user=user),
        "app_grants": AppGrant.objects.filter(user=user),
        "play_tokens": PlayToken.objects.filter(user=user),
        "app_sessions": AppSession.objects.filter(user=user),
        "app_passwords": AppPassword.objects.filter(user=user),
        "login_flows": LoginFlow.objects.filter(user=user),
        "sync_marks": SyncMark.objects.filter(user=user),
        "server_imports": ServerImport.objects.filter(user=user),
        "used_tokens": UsedToken.objects.filter(user=user),
        "log_in_attempts": AccessAttempt.objects.filter(username__in=names),
        "log_in_failures": AccessFailureLog.objects.filter(username__in=names),
        "log_ins": AccessLog.objects.filter(username__in=names),
        "administration_log": LogEntry.objects.filter(user=user)
        | LogEntry.objects.filter(content_type=user_type, object_id=str(user_id)),
    }
    counts = Counter({what: rows.delete()[0] for what, rows in found.items()})
    user.delete()
    counts["accounts"] += 1
    return counts
