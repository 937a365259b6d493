"""What another device has told of an episode since: for one that sends an older place."""

from datetime import datetime
from typing import NamedTuple

from eventstore import codec, log
from eventstore.domain import episodes
from eventstore.domain.history import happened_at
from eventstore.domain.identifiers import episode_key
from eventstore.domain.plays import TOPIC, PlayCommand
from eventstore.domain.topics import User
from eventstore.log import HistoryFilter, Origin
from eventstore.reading import decoded, origin_of

PLAYS = [name for name, (event, _) in codec.EVENTS.items() if event in TOPIC.events]
# so far back it is looked for what device it was
AMONG = 2_000


class Elsewhere(NamedTuple):
    """``device``: what it is called, or None where that is not known."""

    position: int
    played: bool
    at: datetime
    device: str | None


def newer(user: User, version: int, command: PlayCommand, here: Origin) -> Elsewhere | None:
    """What stands in place of what a command told, where another device than ``here`` told it later; None
    where the command's own stands. ``user`` and ``version``: of the stream after it."""
    feed, item = episodes.find(user, command.feed, command.item)
    status = user.plays.get(episode_key(feed or "", item))
    if command.at is None or status is None or status.updated_at <= command.at:
        return None
    only = HistoryFilter(types=PLAYS, items=[status.item], since=max(version - AMONG, 0))
    for row in log.read_history(log.stream_of(user.user_id), limit=AMONG, only=only):
        event = decoded(row)
        if event is not None and happened_at(event) == status.updated_at:
            origin = origin_of(row)
            named = getattr(event, "device", None) or origin.device_name or origin.device_id or origin.app_id
            if _device(origin) == _device(here):
                return None
            return Elsewhere(status.position, status.played, status.updated_at, named)
    return Elsewhere(status.position, status.played, status.updated_at, None)


def _device(of: Origin) -> tuple[str | None, ...]:
    return of.app_id, of.device_id, of.device_name
