"""Demonstration data: a few listeners with some weeks of history, made as their apps would have made it.

The accounts are recognised by their ids. A listener's id is random, but these are computed from their names,
so no account that anybody else made can have one. An erased id is never used again (its stream has a
tombstone, and the ledgers have it): each name has a series of ids, of which the first that was not erased
counts.
"""

import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec
from django.db import transaction

from accounts import erasure
from accounts.models import User
from accounts.usernames import username_skeleton
from eventstore import dispatcher
from eventstore.dispatcher import CommandId
from eventstore.domain.privacy import ACCOUNT
from eventstore.erasure import digest_of
from operations import erasures
from operations.exclusive import Say, exclusive, raw_connection
from operations.seeds import history
from operations.seeds.history import LISTENERS, SPAN
from projections.erasure import erase_history

IDS = UUID("6d5d0b5e-2f0b-5b5a-9a1c-6f1f5b0c2d11")
PASSWORD_BYTES = 12


class NameTaken(Exception):
    """Somebody else has an account of this name."""


class Made(NamedTuple):
    """``password`` is None if the account existed already. ``events``: how many were recorded this time."""

    username: str
    password: str | None
    events: int


def up(now: datetime, say: Say) -> Iterator[Made]:
    """Make what is missing of the demonstration, listener by listener. A repetition records nothing new.

    Raises ``NameTaken`` before anything is made, and the errors of a store that is away.
    """
    with exclusive(raw_connection("system"), "system", say):
        used = {name: list(_ids(name)) for name in LISTENERS}
        for name, ids in used.items():
            _refuse_taken(name, ids)
        for name, ids in used.items():
            user, password = _account(name, ids[-1], now)
            yield Made(name, password, _record(name, user))


def down(users: list[User], now: datetime, say: Say) -> None:
    """Erase demonstration accounts (from ``accounts``) as any account is erased. Repeat it if interrupted."""
    for user in users:
        erasure.begin(user.pk, now)
        gone = erasure.complete(user.pk, erase_history)
        say(f"{user.username}: erased, with {gone.get('events', 0)} events")


def accounts() -> list[User]:
    """Return the demonstration accounts that exist, including those whose erasure was interrupted."""
    ids = [user_id for name in LISTENERS for user_id in _ids(name)]
    return list(User.objects.filter(pk__in=ids).order_by("username"))


def others() -> int:
    """Count the accounts that belong neither to demonstration users nor to administrators."""
    return User.objects.exclude(pk__in=[user.pk for user in accounts()]).filter(is_staff=False).count()


def _refuse_taken(name: str, ids: list[UUID]) -> None:
    has_name = User.objects.filter(username_skeleton=username_skeleton(name)).exclude(pk=ids[-1]).first()
    if has_name is None:
        return
    if has_name.pk in ids:
        raise NameTaken(f"The account {name} is half erased: finish that first, with seed_down --demo.")
    raise NameTaken(f"There is an account {name} that is not of the demonstration: nothing was made.")


def _ids(name: str) -> Iterator[UUID]:
    """Yield every id that was used for ``name``; only the last is not erased.

    Tombstones are not enough: ``db_reset`` removes them, and a restore also reads the ledgers.
    """
    erased = erasures.known()
    for number in count():
        user_id = uuid5(IDS, f"{name} {number}")
        yield user_id
        if digest_of(user_id) not in erased:
            return


def _account(name: str, user_id: UUID, now: datetime) -> tuple[User, str | None]:
    known = User.objects.filter(pk=user_id).first()
    if known is not None:
        return known, None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    with transaction.atomic(using="system"):
        # the history begins on that day, whenever it is recorded, so it is the same the next time
        user = User.objects.create_user(name, password=password, id=user_id, date_joined=now - SPAN)
    return user, password


def _record(name: str, user: User) -> int:
    """Record a history; return the number of new events.

    The last command of a history sets the account's privacy: if it is set, the history is complete.
    """
    if ACCOUNT in dispatcher.state_of(user.pk).user.privacy:
        return 0
    recorded = 0
    for number, command in enumerate(history.of(name, user.pk, user.date_joined)):
        # ids keep an interrupted run from recording anything twice, like an app's repeated request
        fingerprint = hashlib.sha256(msgspec.json.encode(command)).digest()
        command_id = CommandId(uuid5(user.pk, f"demo {number}"), fingerprint)
        outcome = dispatcher.dispatch(command, history.ORIGIN, command_id=command_id)
        recorded += 0 if outcome.replayed else len(outcome.events)
    return recorded
