"""How often a token may ask, and how often an address may guess one. Without Redis nothing is limited."""

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.http import HttpRequest

from accounts.addresses import client_address
from accounts.attempts import limited

# Players look every few minutes; what ends in 304 costs them nothing.
FEEDS_PER_HOUR: Final = 60
# All of them, for each is made before it can be told that it is the same.
REQUESTS_PER_HOUR: Final = 600
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def guessing(request: HttpRequest) -> timedelta | None:
    """Count a token that is none; how long its sender has to wait, if he has sent too many."""
    return limited("play tokens", client_address(request), settings.API_FAILURES_PER_MINUTE, MINUTE)


def asking(token_id: int) -> timedelta | None:
    """Count a request for a feed by a token."""
    return limited("personal feeds asked for", str(token_id), REQUESTS_PER_HOUR, HOUR)


def reading(token_id: int) -> timedelta | None:
    """Count a feed that was sent to a token."""
    return limited("personal feeds sent", str(token_id), FEEDS_PER_HOUR, HOUR)
