"""Answers a player that seeks from the event loop, without a thread and without Django.

Seeking is most of what players ask, and a thread takes most of the time of a redirect. Only what is certain
is answered here: a request that records nothing, for an address of ours that Django has answered before, with
a token that is valid now. Everything else, also while the store does not answer, is left to Django.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final, NamedTuple
from uuid import UUID

from accounts.gates import DirectAnswer, has_body, is_remembered
from accounts.models import PlayToken
from eventstore.prepared import Prepared
from playgateway import links, responses, sessions, tokens, window
from playgateway.episodes import PlayableEpisode, location_of
from playgateway.middleware import is_play_host
from playgateway.window import Kind
from projections.pipeline import Pipeline

# Is the token valid now, and where is the file now? Nothing of this is remembered.
_FIND: Final = """
SELECT token.id, token.user_id, episode.enclosure_url
  FROM "system"."play_tokens" AS token
  JOIN "system"."users" AS owner ON owner.id = token.user_id
  JOIN "system"."episodes" AS episode
    ON episode.id = %(episode)s::bigint AND episode.feed_id = %(feed)s::bigint
 WHERE token.token_hash = %(digest)s::text AND {valid}
"""
FIND: Final = Prepared("find_file", _FIND.format(valid=tokens.VALID.format(now="%(now)s::timestamptz")))
PREFIX: Final = "/play/"
# the routes of playgateway/urls.py and playgateway/play_host.py, for the log and the metrics
ROUTE, ROUTE_OF_PLAY_HOST = "/play/<str:token>/<path:path>", "/<str:token>/<path:path>"
# Episodes whose addresses are remembered, and the characters of an address: 4 MB at most.
MOST_KNOWN, LONGEST = 4_096, 1_024


class SeekTarget(NamedTuple):
    """The episode that an address names, and its feed. A merge changes the feed of an episode: it is then
    looked up again."""

    episode_id: int
    feed_id: int
    feed_uid: UUID


class Address(NamedTuple):
    """A play address: its token, what it names, its signature, and the route for the log."""

    token: str
    known: SeekTarget
    signature: str
    route: str


def remember(path: str, found: PlayableEpisode) -> None:
    """Remember which episode the part of an address after its token names. Only for episodes that a signature
    opened."""
    if len(path) > LONGEST:
        return
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[path] = SeekTarget(found.episode_id, found.feed_id, found.feed_uid)


_known: dict[str, SeekTarget] = {}


class Seeks:
    """Redirects players that seek, by asking the system store."""

    def __init__(self, system: Pipeline) -> None:
        self._system = system

    async def answer(self, environment: dict[str, Any], body: BytesIO) -> DirectAnswer | None:
        if (address := _address_of(environment)) is None:
            return None
        kind = window.kind_of(environment["REQUEST_METHOD"], environment)
        if kind is not Kind.GOES_ON:
            return None
        now = datetime.now(UTC)
        rows = await self._system.ask(FIND, _values(address, now))
        return _redirect(address, [str(value or b"", "utf-8") for value in rows[0]], now) if rows else None


def _values(address: Address, now: datetime) -> dict[str, bytes]:
    known = address.known
    return {
        "digest": PlayToken.digest(address.token).encode(),
        "now": now.isoformat().encode(),
        "episode": b"%d" % known.episode_id,
        "feed": b"%d" % known.feed_id,
    }


def _redirect(address: Address, row: list[str], now: datetime) -> DirectAnswer | None:
    token_id, known, location = int(row[0]), address.known, location_of(row[2])
    if not links.is_signed(address.signature, token_id, known.feed_uid, known.episode_id):
        return None
    if location is None or not tokens.is_noted(token_id, now):
        return None
    sessions.extend((UUID(row[1]), known.episode_id))
    return DirectAnswer(address.route, 302, responses.of_redirect(location))


def _address_of(environment: Mapping[str, Any]) -> Address | None:
    """Return a signed address that has been answered before, on a host that is ours, of a request without a
    body."""
    path, host = environment["PATH_INFO"], environment.get("HTTP_HOST")
    is_on_play_host = host is not None and is_play_host(host)
    if path.startswith(PREFIX):
        rest, route = path.removeprefix(PREFIX), ROUTE
    elif is_on_play_host:
        rest, route = path[1:], ROUTE_OF_PLAY_HOST
    else:
        return None
    token, _, named = rest.partition("/")
    known, signature = _known.get(named), links.signature_alone(environment["QUERY_STRING"])
    if known is None or not signature or not tokens.is_well_formed(token):
        return None
    if not is_remembered(host) or has_body(environment):
        return None
    return Address(token, known, signature, route)
