"""Who is let in, and which answers everybody else gets."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connections
from django.test import Client

from accounts import grants
from accounts.models import User
from eventstore import log
from tests.api.devices import Device, code_of, document, faults, faults_in, play, unharmed
from tests.apps import App


def test_it_says_who_it_is(phone: Device, alice: User) -> None:
    answer = phone.get("me")
    assert answer.status_code == 200
    assert document(answer) == {
        "user_id": str(alice.pk),
        "username": "alice",
        "app_id": phone.app.iss,
        "scopes": ["*"],
        "device_id": "phone-1",
        "follow_moves": True,
    }


def test_it_changes_whether_subscriptions_go_along_with_their_feeds(phone: Device, alice: User) -> None:
    answer = phone.patch("me", {"follow_moves": False})
    assert answer.status_code == 200
    assert document(answer) == document(phone.get("me"))
    assert document(answer)["follow_moves"] is False
    assert not User.objects.get(pk=alice.pk).follow_moves
    assert faults(phone.patch("me", {"follow_moves": "often"})) == {"follow_moves": "invalid"}
    assert faults(phone.patch("me", {})) == {"follow_moves": "required"}


def test_it_needs_no_session_and_gives_no_cookie(phone: Device) -> None:
    answer = phone.post("plays", play())
    assert answer.status_code == 200
    assert not answer.cookies


def test_a_session_does_not_open_the_api(alice: User) -> None:
    client = Client()
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/api/v1/me").status_code == 401


def test_it_asks_for_a_token() -> None:
    answer = Client().get("/api/v1/me")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="balados"'
    assert faults_in(answer.content) == {None: "not_authenticated"}


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_read_in_any_case(phone: Device, scheme: str) -> None:
    token = phone.app.request(phone.user_id)
    assert phone.get("me", Authorization=f"{scheme} {token}").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWxpY2U6c2VjcmV0",
        "Token {token}",
        "{token}",
        "Bearer{token}",
        "Bearer  {token}",
        "Bearer\t{token}",
        "Bearer {token} ",
        "Bearer {token},Bearer {token}",
        "Bearer {token}, Bearer {token}",
        "Bearer {token}=",
        "Bearer null",
    ],
)
def test_other_headers_are_refused(phone: Device, header: str) -> None:
    token = phone.app.request(phone.user_id)
    with unharmed(phone):
        answer = phone.post("plays", play(), Authorization=header.format(token=token))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"]
        assert token.rpartition(".")[0] not in answer.content.decode()


def test_a_token_in_the_address_is_no_token(phone: Device) -> None:
    token = phone.app.request(phone.user_id)
    assert Client().get(f"/api/v1/me?access_token={token}").status_code == 401


def test_an_authorization_is_no_request(phone: Device) -> None:
    token = phone.app.authorization(["*"], sub=str(phone.user_id))
    answer = phone.get("me", Authorization=f"Bearer {token}")
    assert answer.status_code == 401


def test_a_token_is_good_for_many_requests(phone: Device) -> None:
    header = phone.app.bearer(phone.user_id, jti="once")
    assert [phone.get("me", **header).status_code for _ in range(3)] == [200, 200, 200]


def test_a_token_with_a_jti_is_good_for_one_deletion(phone: Device) -> None:
    phone.claims["jti"] = "once"
    phone.post("subscriptions", {"feed_url": "https://example.org/a"})
    path = "subscriptions/aHR0cHM6Ly9leGFtcGxlLm9yZy9h"
    assert phone.delete(path).status_code == 200
    again = phone.delete(path)
    assert again.status_code == 401
    assert code_of(again) == "token_reused"


def test_a_deletion_may_be_repeated_under_its_idempotency_key(phone: Device) -> None:
    phone.claims["jti"] = "once"
    phone.post("subscriptions", {"feed_url": "https://example.org/a"})
    path, key = "subscriptions/aHR0cHM6Ly9leGFtcGxlLm9yZy9h", "0f8fad5b-d9cb-469f-a165-70867728950e"
    first = phone.delete(path, Idempotency_Key=key)
    again = phone.delete(path, Idempotency_Key=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert phone.delete(path, Idempotency_Key=key.replace("0", "1")).status_code == 401


def test_scopes_in_the_token_mean_nothing(alice: User) -> None:
    App().grant(alice, ["user.plays.read"])
    device = Device(alice.pk, scopes=["*"])
    with unharmed(device):
        answer = device.post("plays", play())
        assert answer.status_code == 403
        assert "user.plays.write" in document(answer)["errors"][0]["detail"]
        assert code_of(answer) == "scope_missing"


def test_a_revoked_app_is_refused_at_once(phone: Device, alice: User) -> None:
    header = phone.headers
    assert phone.get("me", **header).status_code == 200
    grants.revoke(alice.pk, phone.app.iss)
    assert phone.get("me", **header).status_code == 401
    assert phone.post("plays", play(), **header).status_code == 401


def test_a_disabled_user_is_refused(phone: Device, alice: User) -> None:
    alice.is_active = False
    alice.save()
    assert phone.post("plays", play()).status_code == 401


def test_a_deleted_user_is_refused(phone: Device, alice: User) -> None:
    alice.delete()
    assert phone.post("plays", play()).status_code == 401


def test_an_erased_stream_is_refused_in_the_words_for_nobody(phone: Device, charlie: User) -> None:
    log.stream_of(phone.user_id)
    with connections["events"].cursor() as cursor:
        cursor.execute("UPDATE events.streams SET tombstone = now()")
    log.clear_caches()
    erased = phone.post("plays", play())
    nobody = Device(charlie.pk).post("plays", play())
    assert erased.status_code == nobody.status_code == 401
    assert erased.content == nobody.content


def test_one_wording_for_unknown_users_unknown_apps_and_wrong_signatures(
    phone: Device, charlie: User
) -> None:
    unknown = [
        Device(charlie.pk),
        Device(phone.user_id, App(iss="org.example.other")),
        Device(phone.user_id, App(key="second")),
        Device(phone.user_id, sub="7"),
        Device(phone.user_id, sub=str(phone.user_id).upper()),
    ]
    answers = {(answer.status_code, answer.content) for answer in (device.get("me") for device in unknown)}
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def test_a_token_from_the_future_is_told_so(phone: Device) -> None:
    later = int((datetime.now(UTC) + timedelta(minutes=10)).timestamp())
    answer = phone.get("me", **phone.app.bearer(phone.user_id, iat=later, exp=later + 600))
    assert answer.status_code == 401
    assert "future" in document(answer)["errors"][0]["detail"]


def test_a_damaged_key_is_the_servers_fault(phone: Device) -> None:
    _damage()
    answer = phone.get("me")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_store_that_is_away_is_503(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(grants, "authenticate", away)
    answer = phone.get("me")
    assert answer.status_code == 503
    assert faults(answer) == {None: "unavailable"}
    assert int(answer.headers["Retry-After"]) > 0


def test_nothing_secret_comes_back(phone: Device) -> None:
    token = phone.app.request(phone.user_id)
    answer = phone.get("me", Authorization=f"Bearer {token}x")
    assert answer.status_code == 401
    assert token.split(".")[2] not in json.dumps(dict(answer.headers)) + answer.content.decode()


def _damage() -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute(
            """UPDATE "system"."app_tokens"
               SET public_key = 'rot'::bytea, fingerprint = encode(sha256('rot'::bytea), 'hex')"""
        )
