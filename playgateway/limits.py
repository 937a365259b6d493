"""How often a token may send requests, and how often a client address may guess tokens.
Without Redis nothing is limited."""

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.http import HttpRequest

from accounts.addresses import client_address
from accounts.attempts import limited

# Players poll every few minutes; answers of 304 do not count against this limit.
FEEDS_PER_HOUR: Final = 60
# Counts all requests, since each feed has to be built before it is known to be unchanged.
REQUESTS_PER_HOUR: Final = 600
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def guessing(request: HttpRequest) -> timedelta | None:
    """Count an invalid token; return how long its sender has to wait if he has sent too many."""
    return limited("play tokens", client_address(request), settings.API_FAILURES_PER_MINUTE, MINUTE)


def asking(token_id: int) -> timedelta | None:
    """Count a request for a feed by a token; return how long to wait if there were too many."""
    return limited("personal feeds asked for", str(token_id), REQUESTS_PER_HOUR, HOUR)


def reading(token_id: int) -> timedelta | None:
    """Count a feed that was sent to a token; return how long to wait if there were too many."""
    return limited("personal feeds sent", str(token_id), FEEDS_PER_HOUR, HOUR)
