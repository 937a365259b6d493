"""Repeating writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.http import HttpResponse

from eventstore import dispatcher
from tests.api.devices import (
    Device,
    code_of,
    count_events,
    document,
    faults,
    feed,
    item,
    play,
    status,
    unharmed,
)

KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
Write = Callable[[Device, str], HttpResponse]

WRITES: dict[str, Write] = {
    "subscribe": lambda device, key: device.post(
        "subscriptions", {"rss_source_feed": feed(9)}, Idempotency_Key=key
    ),
    "unsubscribe": lambda device, key: device.delete(f"subscriptions/{feed()}", Idempotency_Key=key),
    "play": lambda device, key: device.post("plays", play(9), Idempotency_Key=key),
    "position": lambda device, key: device.put(
        f"plays/{item()}/position", {"position": 7}, Idempotency_Key=key
    ),
    "sync": lambda device, key: device.post("sync", {"play_statuses": [status(9)]}, Idempotency_Key=key),
}
EACH = pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))


@pytest.fixture
def known(phone: Device) -> Device:
    phone.post("subscriptions", {"rss_source_feed": feed()})
    phone.post("plays", play())
    return phone


def same(one: HttpResponse, other: HttpResponse) -> bool:
    return (one.status_code, one.content, one.headers["Balados-Position"]) == (
        other.status_code,
        other.content,
        other.headers["Balados-Position"],
    )


@EACH
@pytest.mark.parametrize("another_process", [False, True])
def test_a_repeat_gets_the_first_answer(known: Device, write: Write, another_process: bool) -> None:
    first = write(known, KEY)
    assert first.status_code in (200, 201)
    known.post("plays", play(5))
    before = count_events()
    if another_process:
        dispatcher.clear_cache()
    assert same(write(known, KEY), first)
    assert count_events() == before


@EACH
def test_the_key_of_another_request_is_422(known: Device, write: Write) -> None:
    known.post("plays", play(4), Idempotency_Key=KEY)
    with unharmed(known):
        answer = write(known, KEY)
        assert (answer.status_code, code_of(answer)) == (422, "idempotency_key_reused")


def test_spelling_makes_no_other_request(phone: Device) -> None:
    """The order of fields, spaces, unknown fields and spellings of names and times make no difference."""
    at = "2026-05-01T12:00:00Z"
    first = phone.post("plays", play(played_at=at), Idempotency_Key=KEY)
    again: dict[str, Any] = dict(reversed(play(played_at="2026-05-01T14:00:00+02:00").items()))
    again |= {"rss_source_feed": feed().rstrip("="), "client": "v2"}
    assert same(phone.post("plays", again, Idempotency_Key=KEY.upper()), first)
    assert code_of(phone.post("plays", play(), Idempotency_Key=KEY)) == "idempotency_key_reused"


def test_a_key_belongs_to_its_user(phone: Device, bobs: Device) -> None:
    phone.post("plays", play(), Idempotency_Key=KEY)
    assert bobs.post("plays", play(2), Idempotency_Key=KEY).status_code == 200
    assert count_events() == 2


@EACH
@pytest.mark.parametrize(
    "key", ["", "1", KEY[:-1], KEY + "0", "{" + KEY + "}", KEY.replace("-", ""), "x" * 5_000]
)
def test_a_key_is_a_UUID(known: Device, write: Write, key: str) -> None:
    with unharmed(known):
        assert faults(write(known, key)) == {"Idempotency-Key": "invalid"}


def test_what_was_refused_may_be_tried_again(phone: Device) -> None:
    path = f"subscriptions/{feed()}"
    assert phone.delete(path, Idempotency_Key=KEY).status_code == 422
    phone.post("subscriptions", {"rss_source_feed": feed()})
    assert phone.delete(path, Idempotency_Key=KEY).status_code == 200


def test_many_at_once_record_once(phone: Device) -> None:
    phone.post("plays", play())

    def send(number: int) -> tuple[int, bytes]:
        try:
            if number % 3 == 0:
                dispatcher.clear_cache()  # as if another process handled the request
            answer = phone.post("plays", play(2), Idempotency_Key=KEY)
            return answer.status_code, answer.content
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(24)))
    assert len(answers) == 1
    assert answers.pop()[0] == 200
    assert count_events() == 2
    assert document(phone.post("plays", play(2), Idempotency_Key=KEY))["status"] == "success"
