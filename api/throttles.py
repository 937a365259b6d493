"""Rate limits, counted in Redis, because parallel requests can overrun REST framework's own counter.

Each request is counted once: requests of a grant by that grant; failures to authenticate and reads of the
public lists by address. Without Redis every request is let in: a listener's device must not stop working
because a counter is unavailable.
"""

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import attempts, refusals
from accounts.addresses import client_address
from accounts.grants import Caller
from api.auth import caller_of
from api.clock import now

WINDOW = timedelta(minutes=1)
# A process reserves a fiftieth of an app's limit at once, and at most 20 requests: asking Redis for each was
# a tenth of what a play costs.
PART, MOST_AT_ONCE = 50, 20
# Key in META, which no header can set: the request was counted by a shortcut that could not answer it.
COUNTED: Final = "balados.counted"


class Limit(BaseThrottle):
    """A limit of requests per minute, whose number is in ``setting``; 0 means no limit."""

    what: str
    setting: str
    counts_ahead = False
    _waits: timedelta | None = None

    def who(self, request: Request) -> str:
        return str(client_address(request._request))

    def allow_request(self, request: Request, view: Any) -> bool:
        self._waits = self.count(self.who(request))
        return self._waits is None

    @classmethod
    def count(cls, who: str) -> timedelta | None:
        """Count a request; return how long to wait if it is one too many."""
        limit: int = getattr(settings, cls.setting)
        at_once = max(1, min(limit // PART, MOST_AT_ONCE)) if cls.counts_ahead else 1
        return attempts.limited(cls.what, who, limit, WINDOW, at_once)

    def wait(self) -> float | None:
        return None if self._waits is None else self._waits.total_seconds()


class GrantLimit(Limit):
    """Limits what one app does for one user."""

    what, setting = "requests", "API_REQUESTS_PER_MINUTE"
    counts_ahead = True

    def who(self, request: Request) -> str:
        return self.name_of(caller_of(request))

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.auth is None or COUNTED in request._request.META or super().allow_request(request, view):
            return True
        caller = caller_of(request)
        refusals.note(caller.user_id, refusals.APP, caller.app_id, refusals.TOO_MANY, now())
        return False

    @classmethod
    def use_counted(cls, caller: Caller) -> bool:
        """Whether a request is within the limit, where that is certain without asking Redis: the request is
        then counted."""
        is_unlimited = not settings.API_REQUESTS_PER_MINUTE or attempts.is_away()
        return is_unlimited or attempts.use_counted(cls.what, cls.name_of(caller))

    @staticmethod
    def name_of(caller: Caller) -> str:
        return f"{caller.user_id} {caller.app_id}"


class FailureLimit(Limit):
    """Limits failures to authenticate, by address. A valid token is never refused for what others at its
    address send."""

    what, setting = "failures", "API_FAILURES_PER_MINUTE"


class AddressLimit(Limit):
    """Limits what one address reads of what is public."""

    what, setting = "public", "PUBLIC_REQUESTS_PER_MINUTE"
