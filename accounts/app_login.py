"""Signs in podcast apps that only know passwords and cookies: those with gpodder's and Nextcloud's protocols.

An app signs in with an app password, or with the account's own password where that is allowed. It then has a
session, which lives in the store for a year after its last use and is never rotated: neither a restart nor a
lost cache signs an app out.

Wrong passwords count towards the limits on log-ins (``accounts/login_limits.py``), so that nobody gets more
guesses through these endpoints; but each distinct wrong password counts only once. A phone in a drawer that
sends an old password for weeks is not guessing, and must not lock its owner out of the pages.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import connections
from django.http import HttpRequest
from msgspec import Struct

from accounts import app_log
from accounts.app_models import LONGEST_AGENT, AppPassword, AppSession, LoginFlow, SyncMark, digest
from accounts.models import User
from accounts.usernames import username_key
from eventstore.database import discard_when_broken, raw_connection
from eventstore.prepared import Prepared

SESSION_LIVES: Final = timedelta(days=365)
# the session of an app that never sent its cookie back
UNRETURNED_LIVES: Final = timedelta(hours=1)
# how long an app may wait for its approval in a browser
FLOW_LIVES: Final = timedelta(minutes=20)
SEEN_AGAIN: Final = timedelta(hours=1)
MOST_SESSIONS: Final = 20
# seconds for which the account's own password is remembered as right, because its hash is costly to verify
VERIFIED: Final = 600.0
# the topics for which apps that send their own clocks have separate marks
SUBSCRIPTIONS: Final = "s"
EPISODES: Final = "e"
MOST_VERIFIED: Final = 10_000
# how many of an app's newest marks are kept, whatever their age
MARKS_KEPT: Final = 64

# Runs on every request of an app: through the ORM it took a fifth of the CPU time that 30 actions take.
SESSION_OF = Prepared(
    "session_of",
    """
    SELECT session.user_id, listener.username_key, coalesce(password_id::text, ''), session.id, device,
           returned AND used_at >= %(seen)s::timestamptz
      FROM "system"."app_sessions" AS session
      JOIN "system"."users" AS listener ON listener.id = session.user_id
     WHERE session.digest = %(digest)s::text AND used_at > %(alive)s::timestamptz AND listener.is_active
    """,
)
DROP_OLD_MARKS = """
DELETE FROM system.sync_marks WHERE at < %s AND id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY user_id, app ORDER BY mark DESC) AS place
          FROM system.sync_marks) placed
     WHERE place > %s)
"""


class LockedOut(Exception):
    """Too many wrong passwords for this name, or from this address."""


class SignedIn(Struct, frozen=True):
    """A signed-in caller. ``session`` and ``password`` are the ids of its session and app password, if there
    are any."""

    user_id: UUID
    username_key: str
    password: UUID | None = None
    session: UUID | None = None
    # the listener's device for which the session last made a request
    device: str = ""

    @property
    def is_one_app(self) -> bool:
        """Whether this is a single app, and not several with the same user agent."""
        return self.session is not None or self.password is not None

    def app(self, agent: str) -> str:
        """Return the key under which marks of this app are kept."""
        if self.session is not None:
            return f"s:{self.session.hex}"
        if self.password is not None:
            return f"p:{self.password.hex}"
        return f"a:{sha256(agent.encode()).hexdigest()[:32]}"


def by_password(request: HttpRequest, name: str, password: str, now: datetime) -> SignedIn | None:
    """Return who signs in with this name and password; None if they are wrong. Raises ``LockedOut``.

    App passwords are random, so they need no lock-out against guessing: wrong guesses by strangers do not
    lock out an app that has one.
    """
    try:
        user = User.objects.get_by_natural_key(name)
    except User.DoesNotExist:
        if name:
            _authenticated(request, name, password, _verified_key(f"{username_key(name)}\n\n{password}"))
        return None
    found = AppPassword.objects.filter(digest=digest(password), user=user).first()
    if found is not None:
        if not user.is_active:
            return None
        _note_use(request, found, now)
        return SignedIn(user.pk, user.username_key, found.pk)
    if _is_own(request, user, password):
        return SignedIn(user.pk, user.username_key)
    app_log.note_wrong_password(user.pk, _agent(request), now)
    return None


def by_cookie(cookie: str, now: datetime) -> SignedIn | None:
    """Return whose session this cookie opens; None if there is no such session."""
    times = {"seen": now - SEEN_AGAIN, "alive": now - SESSION_LIVES}
    values = {name: at.isoformat().encode() for name, at in times.items()}
    with discard_when_broken("system"):
        rows = SESSION_OF.rows(raw_connection("system"), values | {"digest": digest(cookie).encode()})
    if not rows:
        return None
    user_id, key, password, session, device, is_noted = ((cell or b"").decode() for cell in rows[0])
    if is_noted != "t":
        AppSession.objects.filter(pk=session).update(returned=True, used_at=now)
    return SignedIn(UUID(user_id), key, UUID(password) if password else None, UUID(session), device)


def open_session(who: SignedIn, agent: str, now: datetime) -> str:
    """Open a session for an app that has signed in with a password; returns its cookie."""
    cookie = secrets.token_urlsafe(32)
    AppSession.objects.create(
        id=uuid4(),
        user_id=who.user_id,
        password_id=who.password,
        digest=digest(cookie),
        agent=agent[:LONGEST_AGENT],
        made_at=now,
        used_at=now,
    )
    same = AppSession.objects.filter(user_id=who.user_id, password_id=who.password)
    surplus = same.order_by("-returned", "-used_at").values_list("pk", flat=True)[MOST_SESSIONS:]
    if pks := list(surplus):
        AppSession.objects.filter(pk__in=pks).delete()
    return cookie


def speak_for(who: SignedIn, device: str, cookie: str | None = None) -> None:
    """Remember which device an app's session is for, because not every endpoint of its protocol names it.

    ``cookie``: of a session that was opened just now.
    """
    if who.session is not None and who.device != device:
        AppSession.objects.filter(pk=who.session).update(device=device)
    if who.session is None and cookie is not None:
        AppSession.objects.filter(digest=digest(cookie)).update(device=device)


def close_session(who: SignedIn) -> None:
    if who.session is not None:
        AppSession.objects.filter(pk=who.session).delete()


def revoke(user_id: UUID, password: UUID) -> bool:
    """Delete an app password with its sessions, log and marks. Returns whether it existed."""
    sessions = AppSession.objects.filter(password_id=password, user_id=user_id).values_list("pk", flat=True)
    apps = [*names_of(f"p:{password.hex}"), *(f"s:{session.hex}" for session in sessions)]
    deleted, _ = AppPassword.objects.filter(pk=password, user_id=user_id).delete()
    if deleted:
        app_log.delete_lines(user_id, password)
        SyncMark.objects.filter(user_id=user_id, app__in=apps).delete()
    return bool(deleted)


def names_of(app: str) -> tuple[str, ...]:
    """Return the keys under which the marks of an app are kept (``api/gpodder/marks.py``)."""
    return (app, *(f"{app}/{topic}" for topic in (SUBSCRIPTIONS, EPISODES)))


def sign_out_own_password(user_id: UUID) -> None:
    """End the sessions of apps that signed in with the account's own password.

    To be called when that password was changed, or apps may no longer use it.
    """
    sessions = AppSession.objects.filter(user_id=user_id, password=None)
    pks = sessions.values_list("pk", flat=True)
    apps = [name for session in pks for name in names_of(f"s:{session.hex}")]
    sessions.delete()
    SyncMark.objects.filter(user_id=user_id, app__in=apps).delete()


def clean_up(now: datetime) -> None:
    """Delete expired sessions and login flows, and the marks that nobody needs."""
    AppSession.objects.filter(used_at__lt=now - SESSION_LIVES).delete()
    AppSession.objects.filter(returned=False, used_at__lt=now - UNRETURNED_LIVES).delete()
    LoginFlow.objects.filter(started_at__lt=now - FLOW_LIVES).delete()
    kept = now - timedelta(days=settings.RETENTION_DAYS)
    with connections["system"].cursor() as cursor:
        cursor.execute(DROP_OLD_MARKS, [kept, MARKS_KEPT])


def _is_own(request: HttpRequest, user: User, password: str) -> bool:
    """Whether this is the account's own password, and may be used here."""
    allowed = settings.APP_LOGIN_WITH_ACCOUNT_PASSWORD and user.app_login_with_password
    # the key includes the stored hash: nothing is known of another password, or of one that has since changed
    known = _verified_key(f"{user.pk}\n{user.password}\n{user.switched_off_at}\n{password}")
    if allowed and user.is_active and _verified.get(known, 0.0) > time.monotonic():
        return True
    if not _authenticated(request, user.username, password, known) or not allowed:
        return False
    _remember(_verified, known, VERIFIED)
    return True


def _authenticated(request: HttpRequest, name: str, password: str, known: bytes) -> bool:
    """Whether this is the account's own password. Raises ``LockedOut``.

    Failures with the same key ``known`` count as one for as long as failures count.
    """
    if _refused.get(known, 0.0) > time.monotonic():
        return False
    if not AxesProxyHandler.is_allowed(request, {"username": name}):
        raise LockedOut
    if authenticate(request, username=name, password=password) is not None:
        return True
    _remember(_refused, known, settings.AXES_COOLOFF_TIME.total_seconds())
    return False


def _remember(kept: "OrderedDict[bytes, float]", known: bytes, seconds: float) -> None:
    kept[known] = time.monotonic() + seconds
    while len(kept) > MOST_VERIFIED:
        kept.popitem(last=False)


def _note_use(request: HttpRequest, found: AppPassword, now: datetime) -> None:
    """Record when it was last used, at most once an hour, and a name if it has none."""
    if found.used_at is not None and now - found.used_at <= SEEN_AGAIN:
        return
    AppPassword.objects.filter(pk=found.pk).update(used_at=now, name=found.name or _agent(request))


def _agent(request: HttpRequest) -> str:
    return str(request.META.get("HTTP_USER_AGENT", ""))[:LONGEST_AGENT]


_KEY = secrets.token_bytes(32)
# Right and wrong passwords, each with the time until which it is remembered. They are kept per process, as
# digests that cannot be made elsewhere, because a password that is wrong here may be right somewhere else.
_verified: "OrderedDict[bytes, float]" = OrderedDict()
_refused: "OrderedDict[bytes, float]" = OrderedDict()


def _verified_key(text: str) -> bytes:
    return hmac.digest(_KEY, text.encode(errors="surrogatepass"), "sha256")
