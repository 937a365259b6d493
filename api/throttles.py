"""Rate limits, counted in Redis by one atomic script (REST framework's own count can be overrun in parallel).

Each request is counted once: what a grant does by the grant, what fails to authenticate and what reads the
public lists by its address.
Without Redis everything is let in: a listener's device must not stop because a counter is away.
"""

import logging
import threading
import time
from pathlib import Path
from typing import cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts import pseudonyms
from accounts.addresses import client_address
from api.auth import caller_of

logger = logging.getLogger(__name__)

WINDOW = 60
# A Redis that does not answer is left alone for so long: its timeout is paid once and not per request.
PAUSE = 5.0
TIMEOUT = 0.25
SCRIPT = (Path(__file__).parent / "limits.lua").read_text()


class Counter:
    """Counts by key, in windows of a minute."""

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        self._count = client.register_script(SCRIPT)
        self._away_until = 0.0

    def count(self, key: str, limit: int) -> float:
        """Count one; seconds to wait, 0 when it is within ``limit`` or Redis is away."""
        if time.monotonic() < self._away_until:
            return 0.0
        try:
            return cast(int, self._count(keys=[key], args=[limit, int(WINDOW * 1000)])) / 1000
        except redis.RedisError as error:
            self._away_until = time.monotonic() + PAUSE
            logger.warning("No rate limits for %s s: %s", PAUSE, type(error).__name__)
            return 0.0


class Limit(BaseThrottle):
    """REST framework's interface over the counter. A limit of 0 is none."""

    waits = 0.0

    def key(self, request: Request) -> str:
        raise NotImplementedError

    def limit(self) -> int:
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        limit = self.limit()
        if limit:
            self.waits = counter().count(self.key(request), limit)
        return self.waits == 0.0

    def wait(self) -> float:
        return self.waits


class GrantLimit(Limit):
    """What one app does for one user."""

    def key(self, request: Request) -> str:
        caller = caller_of(request)
        return f"balados:requests:{pseudonyms.of(caller.user_id)}:{caller.app_id}"

    def limit(self) -> int:
        return cast(int, settings.API_REQUESTS_PER_MINUTE)


class FailureLimit(Limit):
    """What fails to authenticate, by address. A good token is never refused for what its neighbours send."""

    def key(self, request: Request) -> str:
        return f"balados:failures:{client_address(request._request)}"

    def limit(self) -> int:
        return cast(int, settings.API_FAILURES_PER_MINUTE)


class AddressLimit(Limit):
    """What one address reads of what is public."""

    def key(self, request: Request) -> str:
        return f"balados:public:{client_address(request._request)}"

    def limit(self) -> int:
        return cast(int, settings.PUBLIC_REQUESTS_PER_MINUTE)


def counter() -> Counter:
    """The counter of the configured Redis."""
    found = _counters.get(settings.REDIS_URL)
    if found is None:
        with _lock:
            found = _counters.setdefault(settings.REDIS_URL, Counter(settings.REDIS_URL))
    return found


_lock = threading.Lock()
_counters: dict[str, Counter] = {}
