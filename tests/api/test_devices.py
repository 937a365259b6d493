"""Devices, as apps with a token see them."""

from tests.api.devices import Device, document, faults
from tests.projecting import bring_up_to_date

AT, LATER = "2026-05-01T12:00:00Z", "2026-05-02T12:00:00Z"


def test_devices_sync_and_forgotten_ones_are_not_listed(phone: Device, tablet: Device) -> None:
    sent = [
        {"device": "phone-1", "caption": "Phone", "type": "mobile", "first_seen": AT, "registered_at": AT},
        {"device": "old", "registered_at": AT, "forgotten_at": LATER},
    ]
    phone.post("sync", {"devices": sent})
    bring_up_to_date()
    (listed,) = document(tablet.get("devices"))["devices"]
    assert (listed["device"], listed["caption"], listed["type"]) == ("phone-1", "Phone", "mobile")


def test_what_is_no_name_of_a_device_is_refused(phone: Device) -> None:
    for name in ("", "a b", "../x", "x" * 256):
        answer = phone.post("sync", {"devices": [{"device": name, "registered_at": AT}]})
        assert faults(answer) == {"devices.0.device": "invalid"}, name
