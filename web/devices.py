"""How far a listener got in an episode on each device."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts.models import AppGrant
from eventstore import log
from eventstore.domain.history import happened_at
from eventstore.domain.identifiers import guid_key_of
from eventstore.domain.messages import Origin
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.log import RecordedEvent
from eventstore.reading import decoded, origin_of, read_places
from web import words


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
    origins = [origin_of(row) for row, _ in found]
    apps = {} if all(origin.device_name for origin in origins) else _apps(user_id)
    placed: dict[Origin, DevicePlace] = {}
    for origin, (_, (_, position, played, at)) in zip(origins, found, strict=True):
        device = Origin(app_id=origin.app_id, device_id=origin.device_id, device_name=origin.device_name)
        name = origin.device_name or apps.get(origin.app_id or "", origin.app_id or "")
        is_here = origin.app_id is None and origin.device_name == here
        shown = words.device(name) if name else ""
        placed.setdefault(device, DevicePlace(shown, position, played, at, is_here))
    return sorted(placed.values(), key=lambda place: place.heard_at, reverse=True)


def further(known: list[DevicePlace], position: int, apart: int) -> DevicePlace | None:
    """Return the device that got further than ``position`` by more than ``apart`` seconds, and was listened
    to after this browser was: whoever continued here has already made a choice."""
    here = max((place.heard_at for place in known if place.is_here), default=None)
    since = [place for place in known if not place.is_here and (here is None or place.heard_at > here)]
    ahead = [place for place in since if not place.played and place.position > position + apart]
    return max(ahead, key=lambda place: place.position, default=None)


def _apps(user_id: UUID) -> dict[str, str]:
    """Return the names of a listener's apps by their ids."""
    return dict(AppGrant.objects.filter(user_id=user_id).values_list("app_id", "name"))


def _play(row: RecordedEvent) -> tuple[str, int, bool, datetime] | None:
    event = decoded(row)
    if not isinstance(event, PlayRecorded | PositionUpdated):
        return None
    return event.rss_source_item, event.position, event.played, happened_at(event) or row.recorded_at
