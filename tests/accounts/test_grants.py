"""Grants of apps: requested, approved, checked on every request and revoked; and when icons are shown."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from unittest.mock import patch
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError, connections

from accounts import grants, keys, tokens
from accounts.grants import DifferentKey, WrongUser, authorize, list_grants, preview_authorization, revoke
from accounts.models import AppGrant, UsedToken, User
from accounts.tokens import TokenError
from eventstore.prepared import Prepared
from tests.accounts.tokens import INSTANCE, asked
from tests.apps import App
from tests.factories import UserFactory

CASTAWAY = App()
# has CASTAWAY's id and name, but another key
IMPOSTOR = App(key="second")


def call(token: str) -> grants.Caller:
    return grants.authenticate(token, datetime.now(UTC), INSTANCE)


def crowd(number: int) -> list[User]:
    """Create this many further listeners."""
    return User.objects.bulk_create(
        User(username=name, username_key=name, username_skeleton=name, password="!")
        for name in map("listener{}".format, range(number))
    )


# ---- requests


def test_a_granted_app_acts_for_its_user(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays", "user.sync"])
    caller = call(CASTAWAY.request(alice.pk, device_id="phone", device_name="Alice’s phone", jti="1"))
    assert (caller.user_id, caller.username, caller.app_id) == (alice.pk, "alice", CASTAWAY.iss)
    assert caller.scopes == {"user.plays", "user.sync"}
    assert (caller.device_id, caller.device_name, caller.jti) == ("phone", "Alice’s phone", "1")
    assert timedelta(0) < caller.expires_at - datetime.now(UTC) <= timedelta(hours=1)


def test_the_scopes_of_a_request_mean_nothing(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays.read"])
    assert call(CASTAWAY.request(alice.pk, scopes=["*"])).scopes == {"user.plays.read"}


def strangers(alice: User, bob: User) -> dict[str, str]:
    """Requests that must all get the same answer, as Alice has let in Castaway, and Bob nobody."""
    return {
        "unknown user": CASTAWAY.request(uuid4()),
        "user who has not let it in": CASTAWAY.request(bob.pk),
        "no user id": CASTAWAY.request("alice"),
        "sub is a number": CASTAWAY.request(alice.pk, sub=1),
        "no sub": CASTAWAY.request(alice.pk, sub=None),
        "user id in upper case": CASTAWAY.request(str(alice.pk).upper()),
        "user id with a space": CASTAWAY.request(f"{alice.pk} "),
        "user name": CASTAWAY.request("Alice"),
        "unknown app": App(iss="org.example.other").request(alice.pk),
        "app id in other case": App(iss=CASTAWAY.iss.upper()).request(alice.pk),
        "another key": IMPOSTOR.request(alice.pk),
        "a key of another size": App(key="of 3072 bits", bits=3072).request(alice.pk),
    }


def test_one_answer_and_the_same_work_for_every_stranger(alice: User, bob: User) -> None:
    CASTAWAY.grant(alice)
    answers = set()
    for token in strangers(alice, bob).values():
        with (
            patch.object(tokens, "is_signed_by", wraps=tokens.is_signed_by) as verified,
            patch.object(Prepared, "rows", autospec=True, side_effect=Prepared.rows) as asked,
            pytest.raises(TokenError) as refusal,
        ):
            call(token)
        work = asked.call_count, verified.call_count
        answers.add((refusal.value.code, refusal.value.detail, *work))
    assert answers == {("not_authenticated", "The token is not valid for any user and app.", 1, 1)}


def test_a_revoked_app_is_refused_at_once(alice: User) -> None:
    CASTAWAY.grant(alice)
    token = CASTAWAY.request(alice.pk)
    assert call(token)
    assert revoke(alice.pk, CASTAWAY.iss)
    with pytest.raises(TokenError):
        call(token)
    assert not revoke(alice.pk, CASTAWAY.iss)


def test_a_token_that_was_good_is_judged_anew_each_time(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays.read"])
    token = CASTAWAY.request(alice.pk, aud=INSTANCE)
    assert call(token) == call(token)
    with pytest.raises(TokenError, match="expired"):
        grants.authenticate(token, datetime.now(UTC) + timedelta(hours=2), INSTANCE)
    with pytest.raises(TokenError, match="another instance"):
        grants.authenticate(token, datetime.now(UTC), "https://elsewhere.example")
    AppGrant.objects.update(scopes=["user.sync"])
    assert call(token).scopes == {"user.sync"}
    authorize(alice, asked(IMPOSTOR), replace_key=True)
    with pytest.raises(TokenError, match="not valid for any user and app"):
        call(token)


def test_so_many_tokens_are_kept_at_most(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_GENUINE", 3)
    CASTAWAY.grant(alice)
    for number in range(10):
        assert call(CASTAWAY.request(alice.pk, jti=str(number)))
    assert len(tokens._genuine) <= 3


def test_a_user_switched_off_or_gone_is_refused_at_once(alice: User, bob: User) -> None:
    for user in (alice, bob):
        CASTAWAY.grant(user)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    bob_id = bob.pk
    bob.delete()
    for user_id in (alice.pk, bob_id):
        with pytest.raises(TokenError, match="not valid for any user and app"):
            call(CASTAWAY.request(user_id))


def test_a_damaged_key_is_the_stores_fault(alice: User) -> None:
    CASTAWAY.grant(alice)
    AppGrant.objects.update(public_key=b"damaged", fingerprint=keys.fingerprint(b"damaged"))
    with pytest.raises(OperationalError, match="cannot be read"):
        call(CASTAWAY.request(alice.pk))


def test_a_store_that_is_away_is_not_a_refusal(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    CASTAWAY.grant(alice)
    end = Prepared("end", "SELECT pg_terminate_backend(pg_backend_pid())")
    monkeypatch.setattr(grants, "FIND_GRANT", end)
    with pytest.raises(psycopg.OperationalError):
        call(CASTAWAY.request(alice.pk))
    monkeypatch.undo()
    # the broken connection is not reused
    assert call(CASTAWAY.request(alice.pk)).username == alice.username


def test_a_request_may_be_repeated_unless_its_id_is_spent(alice: User, bob: User) -> None:
    for user in (alice, bob):
        CASTAWAY.grant(user)
    token = CASTAWAY.request(alice.pk, jti="erase-1")
    grants.consume_jti(call(token))
    assert call(token)
    with pytest.raises(TokenError, match="used before"):
        grants.consume_jti(call(token))
    grants.consume_jti(call(CASTAWAY.request(alice.pk, jti="erase-2")))
    grants.consume_jti(call(CASTAWAY.request(bob.pk, jti="erase-1")))
    assert UsedToken.objects.count() == 3


def test_without_an_id_nothing_is_spent(alice: User) -> None:
    CASTAWAY.grant(alice)
    for _ in range(2):
        grants.consume_jti(call(CASTAWAY.request(alice.pk)))
    assert not UsedToken.objects.exists()


def test_a_spent_id_is_kept_until_its_token_is_refused_anyway(alice: User) -> None:
    CASTAWAY.grant(alice)
    caller = call(CASTAWAY.request(alice.pk, jti="erase"))
    grants.consume_jti(caller)
    assert UsedToken.objects.get().expires_at > caller.expires_at + timedelta(seconds=30)


# ---- approvals


def test_an_approval_stores_what_the_app_said(alice: User) -> None:
    authorization = asked(CASTAWAY, ["user.plays", "user.sync"])
    grant = authorize(alice, authorization)
    stored = AppGrant.objects.get()
    assert stored == grant
    assert (stored.user, stored.app_id, stored.name) == (alice, CASTAWAY.iss, "Castaway")
    assert stored.scopes == ["user.sync", "user.plays"]
    assert bytes(stored.public_key) == authorization.public_key
    assert stored.created_at == stored.updated_at == authorization.read_at


def test_the_same_id_with_another_key_is_another_app(alice: User, bob: User) -> None:
    CASTAWAY.grant(alice)
    preview = preview_authorization(bob, asked(IMPOSTOR))
    assert preview.first_seen
    assert preview.known_under_other_key
    assert (preview.grant, preview.other_key, preview.users) == (None, False, 0)
    IMPOSTOR.grant(bob)
    assert [listed.users for user in (alice, bob) for listed in list_grants(user.pk)] == [1, 1]
    assert call(CASTAWAY.request(alice.pk))
    assert call(IMPOSTOR.request(bob.pk))
    with pytest.raises(TokenError):
        call(IMPOSTOR.request(alice.pk))


def test_another_key_is_never_taken_silently(alice: User) -> None:
    CASTAWAY.grant(alice)
    authorization = asked(IMPOSTOR, ["*"])
    preview = preview_authorization(alice, authorization)
    assert preview.other_key
    assert not preview.already_granted
    with pytest.raises(DifferentKey):
        authorize(alice, authorization)
    assert call(CASTAWAY.request(alice.pk))

    authorize(alice, authorization, replace_key=True)
    assert call(IMPOSTOR.request(alice.pk)).scopes == {"*"}
    with pytest.raises(TokenError):
        call(CASTAWAY.request(alice.pk))
    assert AppGrant.objects.count() == 1


def test_more_scopes_are_shown_and_wait_for_approval(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays"])
    authorization = asked(CASTAWAY, ["user.plays", "user.subscriptions"])
    preview = preview_authorization(alice, authorization)
    assert preview.already_granted
    assert (preview.added, preview.lost) == (("user.subscriptions",), ())
    assert call(CASTAWAY.request(alice.pk)).scopes == {"user.plays"}
    authorize(alice, authorization)
    assert call(CASTAWAY.request(alice.pk)).scopes == {"user.plays", "user.subscriptions"}


def test_fewer_scopes_replace_the_old_ones(alice: User) -> None:
    first = CASTAWAY.grant(alice, ["user.plays", "user.subscriptions"])
    authorization = asked(CASTAWAY, ["user.plays.read"])
    preview = preview_authorization(alice, authorization)
    assert preview.added == ()
    assert preview.lost == ("user.subscriptions", "user.plays")
    grant = authorize(alice, authorization)
    assert call(CASTAWAY.request(alice.pk)).scopes == {"user.plays.read"}
    assert grant.pk == first.pk
    assert grant.created_at == first.created_at < grant.updated_at


def test_an_authorization_for_somebody_is_approved_by_nobody_else(alice: User, bob: User) -> None:
    for_alice = asked(CASTAWAY, sub=str(alice.pk))
    with pytest.raises(WrongUser):
        authorize(bob, for_alice)
    assert not AppGrant.objects.exists()
    assert authorize(alice, for_alice).user == alice


def test_a_user_switched_off_approves_nothing(alice: User) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(User.DoesNotExist):
        authorize(alice, asked(CASTAWAY))


def test_twenty_approvals_at_once_make_one_grant(alice: User) -> None:
    authorization = asked(CASTAWAY)
    barrier = Barrier(20)

    def approve(_: int) -> int:
        try:
            barrier.wait(timeout=30)
            return authorize(alice, authorization).pk
        finally:
            connections["system"].close()

    with ThreadPoolExecutor(20) as pool:
        granted = set(pool.map(approve, range(20)))
    assert granted == {AppGrant.objects.get().pk}


def test_reading_an_authorization_again_grants_nothing(alice: User) -> None:
    authorization = asked(CASTAWAY)
    authorize(alice, authorization)
    revoke(alice.pk, CASTAWAY.iss)
    assert preview_authorization(alice, authorization).first_seen
    assert not AppGrant.objects.exists()


def test_an_app_that_nobody_knows_is_called_so(alice: User) -> None:
    preview = preview_authorization(alice, asked(App("Famous Player", key="second")))
    assert preview.first_seen
    assert not any([preview.known_under_other_key, preview.shows_image, preview.already_granted])
    assert preview.added == ()


# ---- what is shown


def test_a_picture_is_shown_for_five_users_and_no_fewer(alice: User) -> None:
    users = crowd(5)
    for number, user in enumerate(users):
        assert not preview_authorization(alice, asked(CASTAWAY)).shows_image
        assert preview_authorization(alice, asked(CASTAWAY)).users == number
        CASTAWAY.grant(user)
    assert preview_authorization(alice, asked(CASTAWAY)).shows_image
    assert not preview_authorization(alice, asked(IMPOSTOR)).shows_image
    assert list_grants(users[0].pk)[0].shows_image


def test_a_picture_is_shown_for_a_tenth_of_all_users_and_no_fewer(alice: User) -> None:
    users = crowd(49)
    for user in users[:5]:
        CASTAWAY.grant(user)
    assert preview_authorization(alice, asked(CASTAWAY)).shows_image
    UserFactory.create(username="one-too-many")
    assert not preview_authorization(alice, asked(CASTAWAY)).shows_image
    assert not list_grants(users[0].pk)[0].shows_image


def test_everybody_sees_his_own_apps_by_name(alice: User, bob: User) -> None:
    for app in (App("Zither", "z"), App("Castaway", "b"), App("Castaway", "a")):
        app.grant(alice)
    CASTAWAY.grant(bob)
    assert [grant.app_id for grant in list_grants(alice.pk)] == ["a", "b", "z"]
    assert [grant.app_id for grant in list_grants(bob.pk)] == [CASTAWAY.iss]
    assert list_grants(uuid4()) == []


@pytest.mark.parametrize("app_id", ["", "unknown", "a\0b", "\ud800", "x" * 500], ids=ascii)
def test_revoking_what_was_not_granted_does_nothing(alice: User, app_id: str) -> None:
    CASTAWAY.grant(alice)
    assert not revoke(alice.pk, app_id)
    assert AppGrant.objects.count() == 1


def test_nobody_revokes_the_app_of_another(alice: User, bob: User) -> None:
    CASTAWAY.grant(alice)
    assert not revoke(bob.pk, CASTAWAY.iss)
    assert call(CASTAWAY.request(alice.pk))
