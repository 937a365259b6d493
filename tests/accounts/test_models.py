import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections, transaction
from django.http import HttpRequest

from accounts import passwords
from accounts.models import AppGrant, PlayToken, SetupState, UsedToken, User
from tests.factories import AppGrantFactory

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_a_name_is_kept_as_written_and_found_in_any_spelling(alice: User) -> None:
    assert alice.username == "alice"
    for spelling in ("Alice", "ALICE", "alice", "ａｌｉｃｅ"):
        assert User.objects.get_by_natural_key(spelling) == alice


@pytest.mark.parametrize("name", ["alice", "ALICE", "ａlice", "alıce", "alíce", "a1ice"])
def test_a_name_cannot_be_taken_twice(alice: User, name: str) -> None:
    with pytest.raises(ValidationError, match="taken"):
        User.objects.create_user(name)
    with pytest.raises(ValidationError, match="taken"):
        User(username=name, password="!").full_clean()
    with pytest.raises(CommandError, match="taken"):
        call_command("createsuperuser", username=name, email="", interactive=False, database="system")
    with pytest.raises(IntegrityError):  # a race: another save between the check and this one
        User(username=name, password="!").save()


def test_a_listener_keeps_his_own_name(alice: User) -> None:
    alice.username = "ALICE"
    alice.full_clean(exclude=["password"])
    alice.save(update_fields=["username"])
    assert User.objects.get().username == "ALICE"


def test_a_new_name_brings_its_key(alice: User) -> None:
    alice.username = "Zoe\u0308"
    alice.save(update_fields=["username"])
    assert User.objects.get_by_natural_key("zoë") == alice


@pytest.mark.parametrize("name", [None, "", "nobody here", "a\0b", "\ud800ab", "x" * 1_000_000], ids=ascii)
def test_whatever_is_typed_is_at_worst_unknown(alice: User, name: str | None) -> None:
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(name)


def test_it_refuses_a_bad_name_before_anything_is_stored(stores: None) -> None:
    with pytest.raises(ValidationError):
        User.objects.create_user("ad/min")
    assert not User.objects.exists()


def test_a_listener_has_no_powers_and_an_administrator_all(stores: None) -> None:
    alice = User.objects.create_user("Alice")
    operator = User.objects.create_superuser("Olivia", "olivia@EXAMPLE.org", "correct horse battery")
    assert not any([alice.is_staff, alice.is_superuser, alice.has_usable_password()])
    assert operator.is_staff
    assert operator.is_superuser
    assert operator.email == "olivia@example.org"


def test_passwords_are_kept_with_argon2(stores: None) -> None:
    alice = User.objects.create_user("Alice", password="correct horse battery")
    assert alice.password.startswith("argon2$argon2id$")
    request = HttpRequest()
    assert authenticate(request, username="ALICE", password="correct horse battery") == alice
    assert authenticate(request, username="Alice", password="wrong") is None


@pytest.mark.parametrize(
    "changes", [{"app_id": ""}, {"scopes": []}, {"fingerprint": "0" * 64}, {"public_key": b"another"}]
)
def test_the_database_refuses_grants_that_cannot_be(alice: User, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        AppGrantFactory.create(user=alice, **changes)


def test_the_database_holds_one_grant_per_user_and_app(alice: User, bob: User) -> None:
    AppGrantFactory.create(user=alice)
    AppGrantFactory.create(user=bob)
    AppGrantFactory.create(user=alice, app_id="Castaway")
    with pytest.raises(IntegrityError):
        AppGrantFactory.create(user=alice)


def test_a_play_token_is_shown_once_and_kept_as_a_hash(alice: User) -> None:
    token, text = PlayToken.objects.issue(alice, "Kitchen radio", NOW)
    assert len(text) == 43
    assert str(token) == f"Kitchen radio ({text[:6]}…)"
    stored = PlayToken.objects.values().get()
    assert text not in str(stored)
    assert PlayToken.objects.get(token_hash=PlayToken.digest(text)) == token


def test_the_database_refuses_a_play_token_in_the_clear(alice: User) -> None:
    with pytest.raises(IntegrityError):
        PlayToken.objects.create(
            user=alice, name="Radio", token_hash="secret", prefix="secret", created_at=NOW
        )
    with pytest.raises(IntegrityError):
        PlayToken.objects.issue(alice, "Radio", NOW, expires_at=NOW - timedelta(days=1))


def test_the_database_holds_one_set_up(stores: None) -> None:
    SetupState.objects.create(token="secret")
    with pytest.raises(IntegrityError):
        SetupState.objects.create(id=2)
    with pytest.raises(IntegrityError):
        SetupState.objects.update(completed_at=NOW)
    SetupState.objects.update(completed_at=NOW, token="")


def test_a_deleted_user_leaves_no_grant_and_no_token(alice: User) -> None:
    AppGrantFactory.create(user=alice)
    PlayToken.objects.issue(alice, "Radio", NOW)
    UsedToken.objects.create(user=alice, app_id="castaway", jti="1", expires_at=NOW)
    alice.delete()
    assert not any(table.objects.exists() for table in (AppGrant, PlayToken, UsedToken))


def test_every_table_stands_in_the_system_schema(stores: None) -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'system'")
        tables = {name for (name,) in cursor.fetchall()}
    ours = {"users", "user_groups", "user_permissions", "app_tokens", "play_tokens", "setup", "used_tokens"}
    assert ours < tables


def test_the_migrations_reverse(stores: None) -> None:
    # inside a transaction that is rolled back, so that the other tests keep their tables
    with transaction.atomic(using="system"):
        call_command("migrate", "accounts", "zero", database="system", verbosity=0)
        with connections["system"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'system' AND tablename ~ 'user|token'"
            )
            assert cursor.fetchone() == (0,)
        call_command("migrate", database="system", verbosity=0)
        assert not User.objects.exists()
        transaction.set_rollback(True, using="system")


def test_a_hash_takes_what_a_small_machine_has() -> None:
    # the module as it is on disk: the test settings have replaced its hasher's cost with a low one
    hasher = runpy.run_path(str(Path(passwords.__file__)))["SmallArgon2PasswordHasher"]()
    assert "$m=19456,t=2,p=1$" in hasher.encode("correct horse battery", hasher.salt())
