"""How far a listener got in an episode on each device."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventstore import log
from eventstore.domain.history import happened_at
from eventstore.domain.identifiers import guid_key_of
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.log import RecordedEvent
from eventstore.reading import decoded, origin_of, read_places
from web.origins import Senders, choice_of, device_of, source_of


class DevicePlace(NamedTuple):
    """The position on one device. ``device``: its name, or that of its app; ``is_here``: whether its
    name is that of this browser."""

    device: str
    position: int
    played: bool
    heard_at: datetime
    is_here: bool


def places(user_id: UUID, feed: str, item: str, here: str) -> list[DevicePlace]:
    """Return the latest position of each device found in the events, the newest first;
    ``here`` is this browser's name.

    Events are removed after some time (``RETENTION_DAYS``): what a device reported
    before that is no longer known.
    """
    stream = log.known_stream(user_id)
    rows = [] if stream is None else read_places(stream, feed)
    episode = guid_key_of(item)
    found = [(row, event) for row in rows if (event := _play(row)) and guid_key_of(event[0]) == episode]
    senders = Senders(user_id)
    placed: dict[str, DevicePlace] = {}
    # a podcast app's id changes with each of its sessions, so there may be several rows of one device
    for row, (_, position, played, at) in sorted(found, key=lambda each: each[0].version, reverse=True):
        origin = origin_of(row)
        device = choice_of(origin.app_id, origin.device_id, origin.device_name)
        is_here = origin.app_id is None and origin.device_name == here
        shown = device_of(origin, senders) or source_of(origin, senders)
        placed.setdefault(device, DevicePlace(shown, position, played, at, is_here))
    return sorted(placed.values(), key=lambda place: place.heard_at, reverse=True)


def further(known: list[DevicePlace], position: int, apart: int) -> DevicePlace | None:
    """Return the device that got further than ``position`` by more than ``apart`` seconds, and was listened
    to after this browser was: whoever continued here has already made a choice."""
    here = max((place.heard_at for place in known if place.is_here), default=None)
    since = [place for place in known if not place.is_here and (here is None or place.heard_at > here)]
    ahead = [place for place in since if not place.played and place.position > position + apart]
    return max(ahead, key=lambda place: place.position, default=None)


def _play(row: RecordedEvent) -> tuple[str, int, bool, datetime] | None:
    event = decoded(row)
    if not isinstance(event, PlayRecorded | PositionUpdated):
        return None
    return event.rss_source_item, event.position, event.played, happened_at(event) or row.recorded_at
