"""`/api/2/devices`, and `/api/2/sync-devices`, which reports that all devices are always synchronised."""

from typing import Any, Final, get_args

from api.answers import record
from api.gpodder.access import Call, bad, not_found, route
from eventstore.dispatcher import state_of
from eventstore.domain.devices import DeviceType, RegisterDevice
from eventstore.domain.messages import Origin

TYPES: Final = get_args(DeviceType)
LONGEST_CAPTION: Final = 255


def known_devices(call: Call) -> dict[str, Any]:
    """Return the caller's devices by their names."""
    devices = state_of(call.user_id).user.devices
    return {name: device for name, device in sorted(devices.items()) if device.is_known}


def check_known(call: Call, device: str) -> None:
    """Raise ``ApiError`` 404 if the device is unknown."""
    found = state_of(call.user_id).user.devices.get(device)
    if found is None or not found.is_known:
        raise not_found("No such device.")


def registration(call: Call, device: str, **what: Any) -> RegisterDevice:
    """Return the command that registers a device; it records nothing if nothing is new."""
    return RegisterDevice(user_id=call.user_id, now=call.now, device=device, app=call.agent or None, **what)


def origin_of(call: Call, device: str | None = None) -> Origin:
    """Return the origin of an action: the app, the device, and the program as it names itself."""
    return Origin(call.app.name, device or None, call.agent or None)


def register(call: Call, device: str) -> None:
    body = call.json(dict) if call.body.strip() else {}
    what: dict[str, Any] = {}
    if (caption := body.get("caption")) is not None:
        if not isinstance(caption, str) or not caption.strip() or not caption.isprintable():
            raise bad("A caption has 1 to 255 characters.")
        what["caption"] = caption.strip()[:LONGEST_CAPTION]
    if (kind := body.get("type")) is not None:
        if kind not in TYPES:
            raise bad(f"The type is one of {', '.join(TYPES)}.")
        what["type"] = kind
    record(registration(call, device, **what), origin_of(call, device))
    call.tell("sent_device")


def listed(call: Call) -> list[dict[str, Any]]:
    call.tell("asked_devices")
    devices = known_devices(call)
    followed = sum(known.active for known in state_of(call.user_id).user.subscriptions.values())
    return [
        {
            "id": name,
            "caption": device.caption or name,
            "type": device.type or "other",
            "subscriptions": followed,
        }
        for name, device in devices.items()
    ]


def groups(call: Call) -> dict[str, Any]:
    """Return one group of all devices: listeners would take separate lists for each for a bug."""
    call.tell("asked_devices")
    names = list(known_devices(call))
    return {
        "synchronized": [names] if len(names) > 1 else [],
        "not-synchronized": names[:1] * (len(names) < 2),
    }


def synchronize(call: Call) -> dict[str, Any]:
    body = call.json(dict)
    synchronized, stopped = body.get("synchronize", []), body.get("stop-synchronize", [])
    if not isinstance(synchronized, list) or not isinstance(stopped, list):
        raise bad("synchronize and stop-synchronize are lists.")
    named = [name for group in synchronized if isinstance(group, list) for name in group] + stopped
    if not all(isinstance(name, str) for name in named) or not all(
        isinstance(of, list) for of in synchronized
    ):
        raise bad("Groups are lists of devices' names.")
    if not set(named) <= known_devices(call).keys():
        raise not_found("No such device.")
    return groups(call)


paths = {
    r"devices/{user}/{device}\.json": route(post=register, put=register),
    r"devices/{user}\.json": route(get=listed),
    r"sync-devices/{user}\.json": route(get=groups, post=synchronize),
}
