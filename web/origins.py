"""Which app and which device an event came from, in words, and how pages choose among them.

A choice is a text: ``i:`` with the id of a device and that of its app, as a JSON list; ``d:`` with the name
of a device that has no id; or ``a:`` with the id of an app that names no device. The app of a device that
speaks a podcast app's protocol is null: its id changes with each session.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final
from uuid import UUID

from django.utils.translation import gettext as _
from msgspec import json

from accounts.app_names import app_names, is_podcast_app
from eventstore.domain.messages import Origin
from eventstore.history_filter import HistorySource
from playgateway.recording import APP as PLAY_GATEWAY
from projections import devices
from web import humanize

DEVICE, NAME, APP = "i:", "d:", "a:"
# a choice holds two ids of 255 characters, of which some may be escaped
LONGEST_CHOICE: Final = 1_100
MOST_OFFERED: Final = 100
# what a user agent adds to the names of programs, such as their addresses
COMMENT: Final = re.compile(r"\s*\([^()]*\)")


class Senders:
    """What is known of a listener's apps and devices, read when it is first needed: names by app id, captions
    by device id."""

    def __init__(self, user_id: UUID) -> None:
        self._user_id = user_id

    @cached_property
    def apps(self) -> Mapping[str, str]:
        return app_names(self._user_id)

    @cached_property
    def captions(self) -> Mapping[str, str]:
        return devices.captions(self._user_id)


def source_of(origin: Origin, senders: Senders) -> str:
    """Return the app and the device in words, as far as they are known."""
    return _joined(_app(origin, senders), device_of(origin, senders))


def device_of(origin: Origin, senders: Senders) -> str:
    """Return the name of the device, or the server from which the event was imported.

    A podcast app names its program where others name the device, so that only serves if nothing else is
    known.
    """
    name = origin.device_name or ""
    if origin.cause == "import":
        return _("imported from %(server)s") % {"server": name}
    if not is_podcast_app(origin.app_id):
        return humanize.device(name) if name else ""
    known = senders.captions.get(origin.device_id or "")
    if known is None:
        return COMMENT.sub("", name)
    return known


def choice_of(app_id: str | None, device_id: str | None, device_name: str | None) -> str:
    """Return the choice of what sent an event; "" if that is unknown."""
    if device_id:
        return DEVICE + json.encode([device_id, None if is_podcast_app(app_id) else app_id]).decode()
    return NAME + device_name if device_name else APP + app_id if app_id else ""


def origin_of_choice(choice: str) -> Origin:
    """Return what is known of the chosen sender: nothing for a text that is no choice."""
    kind, value = choice[:2], choice[2:]
    if kind == DEVICE:
        with suppress(ValueError):
            device_id, app_id = json.decode(value, type=tuple[str, str | None])
            return Origin(app_id, device_id)
    if kind in (NAME, APP) and value:
        return Origin(device_name=value) if kind == NAME else Origin(value)
    return Origin()


def offered(sources: Sequence[HistorySource], chosen: str, senders: Senders) -> list[tuple[str, str]]:
    """Return the devices among the latest events, or the apps where no device is named, as pairs of choice
    and label; also the one that is already chosen."""
    found: dict[str, str] = {}
    for each in sources:
        origin = Origin(each.app_id, each.device_id, each.device_name)
        if choice := choice_of(each.app_id, each.device_id, each.device_name):
            label = _joined(device_of(origin, senders), _app(origin, senders))
            found.setdefault(choice, label or choice[2:])
    if chosen:
        found.setdefault(chosen, source_of(origin_of_choice(chosen), senders) or chosen[2:])
    return sorted(found.items(), key=lambda each: each[1].casefold())[:MOST_OFFERED]


def _joined(*parts: str) -> str:
    """Return the parts that say something, each once: an app may be called like its device."""
    return " · ".join(dict.fromkeys(part for part in parts if part))


def _app(origin: Origin, senders: Senders) -> str:
    app_id = origin.app_id
    if app_id is None or app_id == PLAY_GATEWAY:
        return ""
    return senders.apps.get(app_id, "" if is_podcast_app(app_id) else app_id)
