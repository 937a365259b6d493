"""Reading one's own writes."""

import threading

import pytest

from eventstore import log
from tests.api.devices import Device, code_of, document, faults, play, unharmed
from tests.projecting import bring_up_to_date

LISTS = pytest.mark.parametrize("path", ["plays", "subscriptions"])


@LISTS
def test_a_read_carries_the_position_that_it_reflects(phone: Device, path: str) -> None:
    assert phone.get(path).headers["Balados-Position"] == "0"
    phone.post("plays", play())
    assert phone.get(path).headers["Balados-Position"] == "0"
    bring_up_to_date()
    assert phone.get(path).headers["Balados-Position"] == "1"


def test_a_read_waits_for_the_write(phone: Device) -> None:
    written = phone.post("plays", play())
    projecting = threading.Timer(0.1, _project)
    projecting.start()
    page = phone.get("plays", Balados_Position=written.headers["Balados-Position"])
    projecting.join()
    assert len(document(page)["play_statuses"]) == 1
    assert page.headers["Balados-Position"] == written.headers["Balados-Position"]


@LISTS
def test_a_read_model_that_stays_behind_is_503(phone: Device, path: str, impatient: None) -> None:
    written = phone.post("plays", play())
    answer = phone.get(path, Balados_Position=written.headers["Balados-Position"])
    assert (answer.status_code, code_of(answer)) == (503, "behind")
    assert answer.headers["Retry-After"] == "1"


@LISTS
@pytest.mark.parametrize("position", ["", "x", "-1", "1.0", "+1", " ", "１", "0x1", str(2**63), "9" * 5_000])
def test_a_position_that_is_none_is_400(phone: Device, path: str, position: str) -> None:
    with unharmed(phone):
        assert faults(phone.get(path, Balados_Position=position)) == {"Balados-Position": "invalid"}


@LISTS
def test_a_position_beyond_the_log_is_400_at_once(phone: Device, path: str) -> None:
    phone.post("plays", play())
    for position in (log.head() + 1, 2**63 - 1):
        with unharmed(phone):
            answer = phone.get(path, Balados_Position=str(position))
            assert faults(answer) == {"Balados-Position": "unknown_position"}
            assert answer.status_code == 400


@LISTS
def test_a_position_of_the_past_is_as_good_as_none(phone: Device, path: str) -> None:
    phone.post("plays", play())
    bring_up_to_date()
    assert phone.get(path, Balados_Position="0").status_code == 200
    assert phone.get(path, Balados_Position="0001").status_code == 200


def _project() -> None:
    from django.db import connections

    bring_up_to_date()
    connections.close_all()
