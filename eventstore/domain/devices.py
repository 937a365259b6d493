"""Devices: what a listener's apps call themselves.

An app registers its device whenever it starts; the later of that time and the time when the device was
forgotten decides. When a device was last seen is recorded once a day, so that apps that connect every few
minutes record nothing.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import DEVICE, Key
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic

DeviceType: TypeAlias = Literal["desktop", "laptop", "mobile", "server", "other"]
# a device that is seen again within this time is not recorded again
SEEN_AGAIN: Final = timedelta(days=1)


class RegisterDevice(Order, frozen=True, kw_only=True):
    """A field that is None stays as it is. ``app``: the program that the device runs, as it names itself."""

    device: str
    caption: str | None = None
    type: DeviceType | None = None
    app: str | None = None


class ForgetDevice(Order, frozen=True, kw_only=True):
    device: str


class DeviceRegistered(Event, frozen=True, kw_only=True, gc=False):
    """``registered_at``: when it was last seen, precise to a day. ``first_seen``: when it was first seen."""

    device: str
    caption: str | None = None
    type: DeviceType | None = None
    app: str | None = None
    first_seen: datetime | None = None
    registered_at: datetime
    claimed_at: datetime | None = None


class DeviceForgotten(Event, frozen=True, kw_only=True, gc=False):
    device: str
    forgotten_at: datetime
    claimed_at: datetime | None = None


class Device(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    caption: str | None = None
    type: DeviceType | None = None
    app: str | None = None
    first_seen: datetime | None = None
    registered_at: datetime | None = None
    forgotten_at: datetime | None = None
    skewed: times.Skewed = ()

    @property
    def is_known(self) -> bool:
        return REGISTER.is_on(self)


class DeviceEntry(msgspec.Struct, frozen=True, gc=False):
    """A device as another knows it. The later of the two times decides; on equal times it is registered."""

    device: str
    caption: str | None = None
    type: DeviceType | None = None
    app: str | None = None
    first_seen: datetime | None = None
    registered_at: datetime | None = None
    forgotten_at: datetime | None = None


REGISTER = OnOff(
    Device,
    DeviceEntry,
    key=Key("device_key", (DEVICE,), attrgetter(DEVICE), lambda key: {DEVICE: key}),
    on="registered_at",
    off="forgotten_at",
    with_on=("caption", "type", "app", "first_seen"),
    events=(DeviceRegistered, DeviceForgotten),
    tie="registered_wins_a_tie",
)


def register(entries: Mapping[str, Device], command: RegisterDevice) -> list[Event]:
    known = entries.get(command.device)
    if known is None or not known.is_known:
        known, seen = None, Device(first_seen=command.at or command.now)
    else:
        seen = known
    registered = msgspec.structs.replace(
        seen,
        caption=seen.caption if command.caption is None else command.caption,
        type=seen.type if command.type is None else command.type,
        app=seen.app if command.app is None else command.app,
    )
    if command.at is None and registered == known and command.now < _again(known):
        return []
    return REGISTER.write(entries.get(command.device), registered, DeviceRegistered, command, command.device)


def forget(entries: Mapping[str, Device], command: ForgetDevice) -> list[Event]:
    known = entries.get(command.device)
    if command.at is None and (known is None or not known.is_known):
        return []
    return REGISTER.write(known, Device(), DeviceForgotten, command, command.device)


def _again(known: Device) -> datetime:
    """Return the time from which a device that is seen is recorded again."""
    assert known.registered_at is not None
    return known.registered_at + SEEN_AGAIN


TOPIC = Topic(
    name="devices",
    plural="devices",
    kind="device",
    register=REGISTER,
    commands={RegisterDevice: register, ForgetDevice: forget},
    keys=lambda command: (command.device,),
)
Devices: TypeAlias = Annotated[MutableMapping[str, Device], TOPIC]
