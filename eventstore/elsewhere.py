"""What another device has reported of an episode since, for a device that sends an older position."""

from datetime import datetime
from typing import NamedTuple

from eventstore import codec, log
from eventstore.domain import episodes
from eventstore.domain.history import happened_at
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Origin
from eventstore.domain.plays import TOPIC, PlayCommand, PlayStatus
from eventstore.domain.topics import User
from eventstore.history_filter import HistoryFilter
from eventstore.reading import decoded, origin_of

PLAYS = [name for name, (event, _) in codec.EVENTS.items() if event in TOPIC.events]
# how many versions back the device is searched for
AMONG = 2_000


class Elsewhere(NamedTuple):
    """A newer position that another device reported. ``device``: its name, or None where it is not known."""

    position: int
    played: bool
    at: datetime
    device: str | None


def newer(user: User, version: int, command: PlayCommand, here: Origin) -> Elsewhere | None:
    """Return the status that won over a command's, where another device than ``here`` reported it later; None
    where the command's own status holds. ``user`` and ``version``: the state and the version after the
    command."""
    status = later(user, command)
    if status is None:
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


def later(user: User, command: PlayCommand) -> PlayStatus | None:
    """Return the status after a command, if it is of a later time than the command's own."""
    feed, item = episodes.find(user, command.feed, command.item)
    status = user.plays.get(episode_key(feed or "", item))
    return (
        status if command.at is not None and status is not None and status.updated_at > command.at else None
    )


def _device(of: Origin) -> tuple[str | None, ...]:
    return of.app_id, of.device_id, of.device_name
