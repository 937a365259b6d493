"""Settings of apps, as apps with a token see them."""

from tests.api.devices import Device, document, faults, feed
from tests.projecting import bring_up_to_date

AT = "2026-05-01T12:00:00Z"


def test_settings_sync_and_are_listed(phone: Device, tablet: Device) -> None:
    sent = [
        {"settings": '{"b": 1, "a": [2]}', "updated_at": AT},
        {"settings": '{"x": true}', "rss_source_feed": feed(), "updated_at": AT},
        {"settings": None, "device": "phone-1", "updated_at": AT},
    ]
    phone.post("sync", {"settings": sent})
    bring_up_to_date()
    listed = document(tablet.get("settings"))["settings"]
    assert {(one["rss_source_feed"], one["settings"]) for one in listed} == {
        (None, '{"a":[2],"b":1}'),
        (feed(), '{"x":true}'),
    }


def test_what_is_no_json_object_is_refused(phone: Device) -> None:
    for text in ("", "[]", "1", "{", "[" * 5_000):
        answer = phone.post("sync", {"settings": [{"settings": text, "updated_at": AT}]})
        assert faults(answer) == {"settings.0.settings": "invalid"}, text[:9]
