"""Limits on guessing passwords on the log-in pages of listeners and of the administration, with django-axes.

There are three limits within ``AXES_COOLOFF_TIME``: one address on one name, one address on any names, and
any addresses on one name. The last would let strangers lock a listener out for good, so it does not apply to
a browser in which that listener has logged in before.
"""

from datetime import timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import User
from accounts.usernames import LONGEST, username_key

# allowed failures, by what they are counted for (AXES_LOCKOUT_PARAMETERS, in this order)
LIMITS = {"both": settings.AXES_FAILURE_LIMIT, "address": 20, "name": 20}
KNOWN_BROWSER = "balados_known"
KNOWN_FOR = timedelta(days=365)


class GuessingHandler(AxesDatabaseHandler):  # type: ignore[misc]
    """Compares each kind of failures with a limit of its own; axes has one limit for all."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return the worst of the three counts, on the scale of ``AXES_FAILURE_LIMIT``."""
        counts = [_failures(attempts) for attempts in self.get_user_attempts(request, credentials)]
        limits = dict(zip(LIMITS, counts, strict=True))
        if _is_known(request, counted_name(request, credentials)):
            del limits["name"]
        return max(count * settings.AXES_FAILURE_LIMIT // LIMITS[limit] for limit, count in limits.items())

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Forget the failures for this name at this address only.

        axes would forget all failures of the address: anyone with an account could log in to it after every
        fifth guess at another.
        """
        deleted, _ = self.filter_user_attempts(request, credentials)[0].delete()
        return int(deleted)


def counted_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """Return the name that failures count for, the same for every spelling (``AXES_USERNAME_CALLABLE``)."""
    given = (credentials or {}).get("username") or request.POST.get("username", "")
    # PostgreSQL cannot store NUL, and a lone surrogate can be neither signed nor sent
    return username_key(given[:LONGEST].replace("\0", "").encode(errors="replace").decode())


def remember_browser(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Set a cookie that shows that ``user`` has logged in here, signed for that name; it grants nothing."""
    response.set_signed_cookie(
        KNOWN_BROWSER,
        "known",
        salt=user.username_key,
        max_age=KNOWN_FOR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def locked_out(
    request: HttpRequest, response: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """Return the response after too many failures (``AXES_LOCKOUT_CALLABLE``)."""
    return too_many(request, settings.AXES_COOLOFF_TIME)


def too_many(request: HttpRequest, wait: timedelta) -> HttpResponse:
    """Return a 429 page that says how long to ``wait``."""
    seconds = int(wait.total_seconds())
    page = render(request, "429.html", {"minutes": -(-seconds // 60)}, status=429)
    page["Retry-After"] = str(seconds)
    return page


def _failures(attempts: Any) -> int:
    return sum(attempts.values_list("failures_since_start", flat=True))


def _is_known(request: HttpRequest, name: str) -> bool:
    return request.get_signed_cookie(KNOWN_BROWSER, None, salt=name, max_age=KNOWN_FOR) is not None
