"""The sessions of browsers: how they are stored, listed and ended.

They are Django's own sessions in the database, in a table that also says whose each is, on which browser, and
when it was last used, to within an hour. No address is stored. A session whose row is deleted is invalid from
the next request on, whatever its browser still shows.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.browsers import device_name
from accounts.models import Session, User

# keys in the session: its browser, and when it began and was last used, in ISO 8601
DEVICE, SINCE, SEEN = "device", "since", "seen"
# how often a session that is in use is written
EVERY: Final = timedelta(hours=1)


class SessionStore(DatabaseSessionStore):
    """Django's session store, with columns that are filled from the session; named by ``SESSION_ENGINE``."""

    # whether this request changed nothing but when the session was last used
    only_seen = False

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]
        row.user_id = data.get(SESSION_KEY)
        row.device = data.get(DEVICE, "")
        row.since, row.seen_at = _moment(data, SINCE), _moment(data, SEEN)
        return row

    def save(self, must_create: bool = False) -> None:
        try:
            super().save(must_create)
        except UpdateError:
            # The store is in maintenance, or the session was ended meanwhile: no reason to refuse a page that
            # is already made.
            if not self.only_seen:
                raise


class LastSeen:
    """Middleware that records on which browser a session is and when it was last used.

    It must come after the middleware that identifies the listener.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._answer(request)
        # if the page has not loaded the session, it is not loaded here either
        if response.status_code < 500 and hasattr(request.session, "_session_cache"):
            note(request, timezone.now())
        return response


def note(request: HttpRequest, now: datetime) -> None:
    """Record that the session of a listener is in use, unless that was recorded within the last hour."""
    session: Any = request.session
    if SESSION_KEY not in session:
        return
    seen = _moment(session, SEEN)
    if seen is not None and now - seen < EVERY:
        return
    session.only_seen = not session.modified
    session.setdefault(SINCE, now.isoformat(timespec="seconds"))
    session[SEEN] = now.isoformat(timespec="seconds")
    session[DEVICE] = device_name(request)


def sessions_of(user_id: UUID, now: datetime) -> list[Session]:
    """Return the listener's sessions, the last used first."""
    return list(Session.objects.filter(user_id=user_id, expire_date__gt=now).order_by("-seen_at", "pk"))


def proof_of(user: AbstractBaseUser) -> str:
    """Return a digest of what ends a user's sessions when it changes, above all the password."""
    known = user.get_session_auth_hash()
    return salted_hmac("accounts.sessions", known, algorithm="sha256").hexdigest()[:24]


def proofs(users: Collection[UUID], now: datetime) -> dict[str, str]:
    """Return the sessions of these users by their handles, each with the proof that it needs now.

    Closed accounts have none.
    """
    known = User.objects.filter(pk__in=users, is_active=True, erasing_since=None)
    proof = {user.pk: proof_of(user) for user in known}
    rows = Session.objects.filter(user_id__in=list(proof), expire_date__gt=now)
    return {row.handle: proof[row.user_id] for row in rows if row.user_id is not None}


def end_session(user_id: UUID, handle: str) -> bool:
    """End the session with this ``handle`` at once. False if the user has no such session."""
    found = [row.pk for row in Session.objects.filter(user_id=user_id) if row.handle == handle]
    return bool(Session.objects.filter(pk__in=found).delete()[0])


def end_sessions(user_id: UUID, but: str | None = None) -> int:
    """End all sessions of the user at once, except the one with the key ``but``. Returns how many ended."""
    return Session.objects.filter(user_id=user_id).exclude(pk=but or "").delete()[0]


def _moment(data: Any, name: str) -> datetime | None:
    text = data.get(name)
    return datetime.fromisoformat(text) if text else None
