"""Who the bearer of a play token is, and what it may open. Looked up on every request, so that a
revoked token fails at once."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import DatabaseError, connections

from accounts.models import PlayToken
from projections.connect import run

# whether a token may be used at a moment: part of every statement that finds one
VALID: Final = """(token.expires_at IS NULL OR token.expires_at > {now})
   AND owner.is_active AND owner.erasing_since IS NULL"""
# looked up by the digest of the token that was sent, so that the duration of the query
# reveals nothing about a token
FIND: Final = """
SELECT token.id, token.user_id, token.name, token.lists
  FROM "system"."play_tokens" AS token JOIN "system"."users" AS owner ON owner.id = token.user_id
 WHERE token.{column} = %s AND {valid}
"""
BY_TEXT, BY_ID = (FIND.format(column=name, valid=VALID.format(now="%s")) for name in ("token_hash", "id"))
NOTE_USE: Final = 'UPDATE "system"."play_tokens" SET last_used_at = %s WHERE id = %s'
NOTE_PLAY: Final = 'UPDATE "system"."play_tokens" SET plays = plays + 1 WHERE id = %s'
# tokens whose use was recorded, by id, and in which hour
MOST_NOTED: Final = 4_096
_noted: dict[int, datetime] = {}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Bearer(NamedTuple):
    """A valid token: its owner, its name, and the lists that it is limited to, if any."""

    token_id: int
    user_id: UUID
    name: str
    lists: list[str] | None

    def opens(self, name: str) -> bool:
        """Whether the token opens the list of that name: ``subscriptions``, ``saved``, or an id."""
        return self.lists is None or name in self.lists


def find(text: str, now: datetime) -> Bearer | None:
    """Return who sent this token; None if it is unknown, revoked, expired or malformed.

    Raises ``psycopg.OperationalError`` (or Django's) when the store is unavailable.
    """
    if not is_well_formed(text):
        return None
    row = run(BY_TEXT, [PlayToken.digest(text), now], "system").fetchone()
    if row is None:
        return None
    bearer = Bearer._make(row)
    note_use(bearer.token_id, now)
    return bearer


def is_well_formed(text: str) -> bool:
    """Whether the text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def note_use(token_id: int, now: datetime) -> None:
    """Record when a token was last used, rounded down to the hour: once per hour and process, because writing
    on every request would cost more than the request itself."""
    if is_noted(token_id, now):
        return
    if len(_noted) >= MOST_NOTED:
        _noted.clear()
    _noted[token_id] = hour = _hour(now)
    # a store that accepts no writes now (maintenance) is no reason to stop a player
    with suppress(DatabaseError), connections["system"].cursor() as cursor:
        cursor.execute(NOTE_USE, [hour, token_id])


def is_noted(token_id: int, now: datetime) -> bool:
    """Whether this process has recorded that the token was used in this hour."""
    return _noted.get(token_id) == _hour(now)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def find_by_id(token_id: int, at: datetime) -> Bearer | None:
    """Return the token of that id, if it has not been revoked since and was not expired at that time."""
    row = run(BY_ID, [token_id, at], "system").fetchone()
    return None if row is None else Bearer._make(row)


def note_play(token_id: int) -> None:
    """Count a play that the token recorded."""
    run(NOTE_PLAY, [token_id], "system")
