"""The apps that Alice has let in."""

import pytest

from accounts.models import User
from tests.api.devices import Device, code_of, document, faults, in_path, play, unharmed
from tests.apps import App

KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER_KEY = "1f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def reader(alice: User) -> Device:
    app = App("Reader", "org.example.reader", key="second")
    app.grant(alice, ["user.subscriptions.read"])
    return Device(alice.pk, app)


def ids(device: Device) -> list[str]:
    return [app["app_id"] for app in document(device.get("apps"))["apps"]]


def test_it_lists_the_apps(phone: Device, reader: Device) -> None:
    (own, other) = document(phone.get("apps"))["apps"]
    assert own["current"]
    assert not other["current"]
    assert {**other, "created_at": 0, "updated_at": 0, "fingerprint": 0} == {
        "app_id": "org.example.reader",
        "name": "Reader",
        "url": "https://castaway.example",
        "image": None,
        "fingerprint": 0,
        "scopes": ["user.subscriptions.read"],
        "created_at": 0,
        "updated_at": 0,
        "current": False,
    }


def test_an_app_without_the_scope_user_sees_itself_alone(phone: Device, reader: Device) -> None:
    assert ids(reader) == ["org.example.reader"]
    assert ids(phone) == ["org.example.castaway", "org.example.reader"]


def test_an_app_revokes_itself(phone: Device, reader: Device) -> None:
    answer = reader.delete("apps/org.example.reader")
    assert (answer.status_code, document(answer)) == (200, {"status": "success"})
    assert reader.get("me").status_code == 401
    assert ids(phone) == ["org.example.castaway"]


@pytest.mark.parametrize("app_id", ["org.example.castaway", "org.example.nobody", "%00", "a/b"])
def test_an_app_without_the_scope_user_revokes_no_other(phone: Device, reader: Device, app_id: str) -> None:
    with unharmed(phone):
        answer = reader.delete(f"apps/{app_id}")
        assert answer.status_code == 403
        assert "scope user." in document(answer)["errors"][0]["detail"]


@pytest.mark.parametrize("scope", ["user", "*"])
def test_the_scope_user_revokes_others(alice: User, reader: Device, scope: str) -> None:
    app = App("Keeper", "org.example.keeper")
    app.grant(alice, [scope])
    assert Device(alice.pk, app).delete("apps/org.example.reader").status_code == 200
    assert reader.get("me").status_code == 401


@pytest.mark.parametrize("app_id", ["org.example.nobody", "%00", "%ED%A0%80", "%FF", "x" * 3000, "a//b/.."])
def test_an_unknown_app_is_404(phone: Device, app_id: str) -> None:
    with unharmed(phone):
        assert phone.delete(f"apps/{app_id}").status_code == 404


def test_an_id_with_slashes_is_an_id(phone: Device, alice: User) -> None:
    App("Web", "https://castaway.example/app").grant(alice)
    assert phone.delete("apps/" + in_path("https://castaway.example/app")).status_code == 200
    App("Web", "https://castaway.example/app").grant(alice)
    assert phone.delete("apps/https://castaway.example/app").status_code == 200


def test_a_repeat_under_the_same_key_gets_the_first_answer(phone: Device, reader: Device) -> None:
    first = phone.delete("apps/org.example.reader", Idempotency_Key=KEY)
    again = phone.delete("apps/org.example.reader", Idempotency_Key=KEY)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Balados-Position"] == first.headers["Balados-Position"]
    assert phone.delete("apps/org.example.reader", Idempotency_Key=OTHER_KEY).status_code == 404
    reused = phone.delete("apps/org.example.castaway", Idempotency_Key=KEY)
    assert (reused.status_code, code_of(reused)) == (422, "idempotency_key_reused")


def test_a_key_is_a_UUID(phone: Device, reader: Device) -> None:
    with unharmed(phone):
        answer = phone.delete("apps/org.example.reader", Idempotency_Key="7")
        assert faults(answer) == {"Idempotency-Key": "invalid"}


def test_a_token_with_a_jti_revokes_once(phone: Device, reader: Device) -> None:
    phone.claims["jti"] = "a-jti"
    assert phone.delete("apps/org.example.reader").status_code == 200
    assert code_of(phone.delete("apps/org.example.castaway")) == "token_reused"


def test_its_answers_carry_a_position(phone: Device) -> None:
    phone.post("plays", play())
    assert phone.get("me").headers["Balados-Position"] == "1"
    assert phone.get("apps", Balados_Position="1").headers["Balados-Position"] == "1"
    assert code_of(phone.get("me", Balados_Position="2")) == "unknown_position"
