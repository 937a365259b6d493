"""Tickets, with which a listener's page opens a live connection without its cookie.

A browser sends the cookies of a site with every WebSocket that any page opens to it, so a cookie proves
nothing there. Instead, a page gets a ticket by a POST with its CSRF token. A ticket is random, is stored in
Redis as a digest for half a minute, and is valid once, and only from the origin of the page.
"""

import hashlib
import secrets
from functools import cache
from typing import Final, cast
from uuid import UUID

import msgspec
import redis
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from accounts import sessions
from accounts.attempts import TIMEOUT
from accounts.models import handle_of

# distinguishes a ticket from a token
PREFIX: Final = "ticket."
KEY: Final = "balados:ticket:"
SECONDS: Final = 30


class Ticket(msgspec.Struct, frozen=True):
    """What a ticket stands for. ``session``: the handle of the page's session. ``proof``: a digest of what
    ends the session when it changes. ``origin``: of the page, as browsers send it."""

    user_id: UUID
    session: str
    proof: str
    origin: str


_read = msgspec.json.Decoder(Ticket).decode


def issue(request: HttpRequest, user: AbstractBaseUser) -> str:
    """Return a ticket for the listener's page that sends this request. Raises ``redis.RedisError``."""
    text = PREFIX + secrets.token_urlsafe(32)
    ticket = Ticket(
        user_id=user.pk,
        session=handle_of(str(request.session.session_key)),
        proof=sessions.proof_of(user),
        origin=f"{request.scheme}://{request.get_host()}",
    )
    _redis(settings.REDIS_URL).set(_key(text), msgspec.json.encode(ticket), ex=SECONDS)
    return text


def redeem(text: str) -> Ticket | None:
    """Return what a ticket stands for, the first time. None if it is used, expired or made up, or if Redis is
    unavailable."""
    try:
        found = cast(bytes | None, _redis(settings.REDIS_URL).getdel(_key(text)))
    except redis.RedisError:
        return None
    return None if found is None else _read(found)


def _key(text: str) -> str:
    return KEY + hashlib.sha256(text.encode()).hexdigest()


@cache
def _redis(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
