"""By how much a soak lets the rules be wrong in what was heard: for a reason, and by no more than that."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.soak.clock import Clock
from tests.soak.device import Device
from tests.soak.listening import ListeningLog, Report, Stretch, Sums
from tests.soak.world import shared

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
ONE, OTHER = (show.episodes[0] for show in shared()[:2])
DAY = 24 * 60
WIRE: Any = None  # nothing is sent
PHONE, TABLET = Device(WIRE, Clock()), Device(WIRE, Clock())


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def heard(start: float, end: float) -> tuple[Stretch, ...]:
    return (Stretch(after(start), after(end), 1.0),)


def report(
    at: float, position: int, *, device: Device = PHONE, arrived: float = 600, **fields: Any
) -> Report:
    """``at`` and ``arrived`` in minutes."""
    reached = after(arrived), after(arrived)
    given: dict[str, Any] = {"episode": ONE, "heard": (), "is_ahead": False, "reached": reached}
    return Report(device, at=after(at), position=position, **given | fields)


def sums(*places: Report, checkpoint: float = 0) -> Sums:
    listening = ListeningLog([PHONE, TABLET], Random(0))
    listening.reports, listening.checkpoints = list(places), {after(checkpoint)}
    return listening.sums()


def causes(found: Sums) -> dict[str, int]:
    return {cause: seconds for cause, seconds in found.causes.items() if seconds}


def synced(at: float) -> Report:
    """Ten minutes that were heard from the beginning on, and told by a sync at a time."""
    return report(at, 600, heard=heard(0, 10), by_sync=True, started=0)


def beside(start: float, end: float) -> Report:
    """What another device played, told with the place where it began."""
    return report(
        end, 3_000, device=TABLET, episode=OTHER, heard=heard(start, end), by_sync=True, started=2_400
    )


def test_what_was_heard_as_it_was_told_needs_no_explanation() -> None:
    found = sums(report(0, 0), report(10, 600, heard=heard(0, 10)))
    assert (found.heard[ONE.feed], causes(found)) == (600, {})


def test_a_sync_that_tells_it_after_a_pause_is_wrong_by_what_another_device_played_in_the_pause() -> None:
    found = sums(synced(25), beside(11, 21))
    # it is taken for heard from 15 to 25
    assert (found.error[ONE.feed], found.at_once[OTHER.feed]) == (360, 360)
    assert causes(found) == {"reported by a sync as one": 360}


def test_a_sync_that_tells_it_after_a_pause_is_right_where_nothing_else_played() -> None:
    assert causes(sums(synced(25))) == {}
    assert causes(sums(synced(40), beside(11, 21))) == {}


def test_a_step_from_an_old_place_is_lost_where_a_checkpoint_forgot_that() -> None:
    step = report(10, 600, heard=heard(0, 10), arrived=50 * DAY)
    for taken, explained in ((44, {}), (46, {"a place forgotten": 600}), (51, {})):
        assert causes(sums(report(0, 0), step, checkpoint=taken * DAY)) == explained


def test_no_place_is_forgotten_where_a_device_has_listened() -> None:
    listened = report(10, 600, heard=heard(0, 10))
    step = report(20, 1_200, heard=heard(10, 20), arrived=50 * DAY)
    assert causes(sums(report(0, 0), listened, step, checkpoint=46 * DAY)) == {}
