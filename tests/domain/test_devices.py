"""Devices that apps register and remove."""

from datetime import timedelta

from eventstore.domain.devices import (
    DeviceForgotten,
    DeviceRegistered,
    DeviceType,
    ForgetDevice,
    RegisterDevice,
)
from eventstore.domain.messages import Event
from tests.domain.scenarios import ALICE, NOON, folded, minutes, when


def register(
    caption: str | None = None, type: DeviceType | None = None, after: float = 0, app: str | None = None
) -> RegisterDevice:
    return RegisterDevice(
        user_id=ALICE, device="phone", caption=caption, type=type, app=app, now=minutes(after)
    )


def registered(
    caption: str | None = None, type: DeviceType | None = None, after: float = 0, first: float = 0
) -> DeviceRegistered:
    return DeviceRegistered(
        user_id=ALICE,
        device="phone",
        caption=caption,
        type=type,
        first_seen=minutes(first),
        registered_at=minutes(after),
    )


GIVEN: list[Event] = [registered("Phone", "mobile")]
FORGET = ForgetDevice(user_id=ALICE, device="phone", now=minutes(5))
FORGOTTEN = DeviceForgotten(user_id=ALICE, device="phone", forgotten_at=minutes(5))


def test_a_device_is_registered_by_its_name_alone() -> None:
    assert when(register()) == [registered()]


def test_only_what_is_given_changes() -> None:
    assert when(register(caption="Kitchen", after=5), GIVEN) == [registered("Kitchen", "mobile", 5)]
    assert when(register(type="other", after=5), GIVEN) == [registered("Phone", "other", 5)]


def test_being_seen_again_is_recorded_once_a_day() -> None:
    assert when(register(after=60), GIVEN) == []
    assert when(register(caption="Phone", type="mobile", after=60), GIVEN) == []
    day = timedelta(days=1) / timedelta(minutes=1)
    assert when(register(after=day), GIVEN) == [registered("Phone", "mobile", day)]


def test_a_forgotten_device_that_comes_back_is_a_new_one() -> None:
    assert when(FORGET, GIVEN) == [FORGOTTEN]
    assert when(FORGET) == []
    assert when(register(after=9), [*GIVEN, FORGOTTEN]) == [registered(after=9, first=9)]
    assert not folded([*GIVEN, FORGOTTEN]).devices["phone"].is_known


def test_a_device_whose_time_is_ahead_wins_for_no_longer_than_others() -> None:
    ahead = NOON + timedelta(days=9)
    command = RegisterDevice(user_id=ALICE, device="phone", at=ahead, now=NOON)
    (event,) = when(command)
    assert isinstance(event, DeviceRegistered)
    assert (event.registered_at, event.claimed_at) == (NOON, ahead)
