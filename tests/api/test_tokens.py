"""Play tokens, as their listeners create, see and revoke them."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from accounts.models import PlayToken, User
from api.v1 import tokens
from playgateway.tokens import is_well_formed
from tests.api import hostile
from tests.api.devices import Device, code_of, document, faults, unharmed
from tests.factories import PlayTokenFactory


def make(device: Device, name: str = "Kitchen radio", *, key: str | None = None, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency_Key": key}
    return device.post("tokens", {"name": name} | body, **headers)


def listed(device: Device) -> list[dict[str, Any]]:
    answer = device.get("tokens")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = document(answer)["tokens"]
    return found


def test_it_makes_a_token_and_shows_its_text_once(phone: Device) -> None:
    answer = make(phone, expires_at="2199-01-01T00:00:00Z")
    assert answer.status_code == 201
    made = document(answer)
    token = made["token"]
    assert (token["name"], token["expires_at"], token["expired"]) == (
        "Kitchen radio",
        "2199-01-01T00:00:00Z",
        False,
    )
    assert made["text"].startswith(token["prefix"])
    assert listed(phone) == [token]
    assert PlayToken.objects.get(token_hash=PlayToken.digest(made["text"])).user_id == phone.user_id
    assert made["text"] not in phone.get("tokens").content.decode()


def test_two_tokens_of_one_name_are_two(phone: Device) -> None:
    first, second = document(make(phone)), document(make(phone))
    assert first["text"] != second["text"]
    assert [one["id"] for one in listed(phone)] == [first["token"]["id"], second["token"]["id"]]


def test_a_repeat_under_the_same_key_shows_the_text_again_and_makes_no_other(phone: Device) -> None:
    key = str(uuid4())
    first = make(phone, key=key)
    again = make(phone, key=key)
    assert (again.status_code, document(again)) == (201, document(first))
    assert is_well_formed(document(first)["text"]), "or no address of it opens"
    assert len(listed(phone)) == 1
    other = make(phone, "Bedroom", key=key)
    assert (other.status_code, code_of(other)) == (422, "idempotency_key_reused")


def test_a_repeat_after_it_was_revoked_does_not_bring_it_back(phone: Device) -> None:
    key = str(uuid4())
    first = document(make(phone, key=key))
    phone.delete(f"tokens/{first['token']['id']}")
    assert document(make(phone, key=key)) == first
    assert listed(phone) == []


def test_repeats_at_once_make_one_token(phone: Device) -> None:
    key = str(uuid4())
    texts: list[str] = []

    def one() -> None:
        try:
            answer = make(Device(phone.user_id), key=key)
            assert answer.status_code == 201, answer.content
            texts.append(document(answer)["text"])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 8
    assert len(set(texts)) == 1
    assert len(listed(phone)) == 1


def test_of_the_text_nothing_is_stored(phone: Device) -> None:
    text = document(make(phone, key=str(uuid4())))["text"]
    for store, table in (("system", "system.play_tokens"), ("events", "events.commands")):
        with connections[store].cursor() as cursor:
            cursor.execute(
                f"SELECT t::text, convert_from(t.answer, 'UTF8') FROM {table} t"
                if store == "events"
                else f"SELECT t::text FROM {table} t"
            )
            rows = cursor.fetchall()
        assert rows
        assert text not in str(rows)


def test_the_key_of_another_makes_another_token(phone: Device, bobs: Device) -> None:
    key = str(uuid4())
    assert document(make(phone, key=key))["text"] != document(make(bobs, key=key))["text"]


def test_a_revoked_token_is_gone(phone: Device) -> None:
    made = document(make(phone))
    answer = phone.delete(f"tokens/{made['token']['id']}")
    assert document(answer) == {"status": "success"}
    assert listed(phone) == []
    again = phone.delete(f"tokens/{made['token']['id']}")
    assert (again.status_code, code_of(again)) == (404, "not_found")


def test_an_expired_one_says_so(phone: Device, alice: User) -> None:
    made = document(make(phone, expires_at="2199-01-01T00:00:00Z"))
    PlayToken.objects.filter(pk=made["token"]["id"]).update(
        created_at="2020-01-01T00:00:00Z", expires_at="2020-01-02T00:00:00Z"
    )
    assert [one["expired"] for one in listed(phone)] == [True]


def test_a_token_may_be_limited_to_lists(phone: Device) -> None:
    playlist = "9B024349-CCF0-5F69-A609-6B82873EAB3C"
    token = document(make(phone, lists=["saved", playlist, "saved"]))["token"]
    assert token["lists"] == ["saved", playlist.lower()]
    assert document(make(phone))["token"]["lists"] is None
    assert (token["last_used_at"], token["plays"]) == (None, 0)


@pytest.mark.parametrize(
    ("lists", "attr"),
    [
        ([], "lists"),
        (["subscriptions"] * 101, "lists"),
        ("saved", "lists"),
        (["saved", "playlists"], "lists.1"),
        (["saved", 7], "lists.1"),
        ([""], "lists.0"),
        (["9b024349ccf05f69a6096b82873eab3c"], "lists.0"),
        (["saved\n"], "lists"),
    ],
)
def test_lists_that_are_none_are_400(phone: Device, lists: object, attr: str) -> None:
    with unharmed(phone):
        assert list(faults(make(phone, lists=lists))) == [attr]
    assert listed(phone) == []


@pytest.mark.parametrize("name", ["", " ", "\t", "x" * 101, None, 7, [], {}, True])
def test_a_name_that_is_none_is_400(phone: Device, name: Any) -> None:
    with unharmed(phone):
        assert faults(make(phone, name)) == {"name": "invalid"}
    assert listed(phone) == []


@pytest.mark.parametrize("at", [*hostile.BAD_TIMES, "2020-01-01T00:00:00Z", 7, []])
def test_a_time_to_expire_that_is_none_or_past_is_400(phone: Device, at: object) -> None:
    with unharmed(phone):
        assert faults(make(phone, expires_at=at)) == {"expires_at": "invalid"}
    assert listed(phone) == []


def test_names_are_kept_without_the_blanks_around_them(phone: Device) -> None:
    assert document(make(phone, "  Küche  "))["token"]["name"] == "Küche"


@pytest.mark.parametrize("token_id", ["x", "-1", "1.5", "1" * 19, "%00", "１"])
def test_an_id_that_is_none_is_400(phone: Device, token_id: str) -> None:
    with unharmed(phone):
        assert faults(phone.delete(f"tokens/{token_id}")) == {"token_id": "invalid"}


def test_the_token_of_bob_is_the_token_of_nobody(phone: Device, bobs: Device) -> None:
    theirs = document(make(bobs))["token"]["id"]
    with unharmed(phone):
        one, other = phone.delete(f"tokens/{theirs}"), phone.delete("tokens/999999")
        assert (one.status_code, one.content) == (other.status_code, other.content)
    assert len(listed(bobs)) == 1
    assert listed(phone) == []


def test_there_is_a_limit(phone: Device, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 2)
    for _ in range(2):
        PlayTokenFactory.create(user=alice)
    with unharmed(phone):
        answer = make(phone)
        assert (answer.status_code, code_of(answer)) == (422, "too_many_tokens")
