"""Logging in, staying logged in, and limits on guessing passwords."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import get_hasher
from pytest_django.fixtures import Settings

from accounts.login_limits import LIMITS
from accounts.models import Session, User
from tests.factories import PASSWORD, UserFactory
from tests.web.people import Visitor, text_of

HERE = "192.0.2.1"


def log_in(visitor: Visitor, name: str = "Alice", password: str = PASSWORD, **extra: str) -> int:
    fields = {"username": name, "password": password}
    status: int = visitor.send("/users/log_in", fields, **extra).status_code
    return status


def guess(name: str = "Alice", address: str = HERE, **extra: str) -> int:
    """Try a wrong password from a browser that has not been used before, and return the status code."""
    return log_in(Visitor(), name, "wrong", REMOTE_ADDR=address, **extra)


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/subscriptions").status_code == 200


@pytest.mark.parametrize("name", ["Alice", "ALICE", "ａｌｉｃｅ"])
def test_a_listener_logs_in_by_any_spelling_of_the_name(alice: User, name: str) -> None:
    visitor = Visitor()
    response = visitor.send("/users/log_in", {"username": name, "password": PASSWORD})
    assert (response.status_code, response["Location"]) == (302, "/")
    assert is_in(visitor)


@pytest.mark.parametrize("target", ["/apps", "/authorize?token=a.b.c", "/subscriptions?q=x&sort=title"])
def test_logging_in_leads_back_to_where_one_was(alice: User, target: str) -> None:
    fields = {"username": "Alice", "password": PASSWORD, "next": target}
    visitor = Visitor()
    assert visitor.send("/users/log_in", fields)["Location"] == target
    # a visitor who is already logged in is not asked again
    assert visitor.get("/users/log_in", {"next": target})["Location"] == target


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "https://evil.example/",
        "https:evil.example",
        "http:///evil.example",
        "\\\\evil.example",
        "/\\evil.example",
        "/%5c/../\\evil.example",
        "javascript:alert(1)",
        "/\r\nLocation: https://evil.example",
        "/\t/evil.example",
        "\x01//evil.example",
        " //evil.example",
        "evil.example",
        "/\u2028evil",
        "http://testserver/apps",
        "",
    ],
    ids=ascii,
)
def test_next_never_leads_away(alice: User, target: str) -> None:
    fields = {"username": "Alice", "password": PASSWORD, "next": target}
    visitor = Visitor()
    assert visitor.send("/users/log_in", fields)["Location"] == "/"
    assert visitor.get("/users/log_in", {"next": target})["Location"] == "/"


def test_logging_in_changes_the_session_key(alice: User) -> None:
    visitor = Visitor()
    visitor.cookies["balados_session"] = "planted" + "0" * 25
    log_in(visitor)
    assert visitor.cookies["balados_session"].value != "planted" + "0" * 25
    session = visitor.session
    assert session.session_key == visitor.cookies["balados_session"].value
    first = session.session_key
    log_in(visitor)
    assert visitor.session.session_key != first


def test_a_changed_password_ends_the_other_sessions(alice: User) -> None:
    visitor = Visitor()
    log_in(visitor)
    assert is_in(visitor)
    alice.set_password("another long password")
    alice.save()
    assert not is_in(visitor)


def test_logging_out_takes_a_post(alice: User) -> None:
    visitor = Visitor(alice)
    assert visitor.get("/users/log_out").status_code == 405
    assert visitor.post("/users/log_out").status_code == 403
    assert is_in(visitor)
    assert visitor.send("/users/log_out", {})["Location"] == "/"
    assert not is_in(visitor)
    assert not Session.objects.exists()


def test_a_closed_account_is_out_at_once(alice: User) -> None:
    visitor = Visitor(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not is_in(visitor)


def counted(work: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """Return a function that does ``work`` and records each call in ``calls``."""

    def call(*given: Any) -> Any:
        calls.append(work.__name__)
        return work(*given)

    return call


def test_an_unknown_name_is_answered_like_a_known_one(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    hashed: list[str] = []
    hasher = type(get_hasher())
    # hashing takes as long for comparing as for creating: 19 ms, against microseconds for everything else
    for work in ("verify", "encode"):
        monkeypatch.setattr(hasher, work, counted(getattr(hasher, work), hashed))
    pages = set()
    for name, password in [
        ("Alice", "wrong"),
        ("Bob", PASSWORD),
        ("Nobody", "wrong"),
        ("a\N{BEL}b", "wrong"),
    ]:
        response = Visitor().send("/users/log_in", {"username": name, "password": password})
        assert response.status_code == 400
        page = text_of(response).split("<main")[1].split("</main>")[0]
        pages.add(page.replace(f'value="{name}"', "").replace(_csrf_of(page), ""))
        assert len(hashed) == 1
        hashed.clear()
    assert len(pages) == 1


def _csrf_of(page: str) -> str:
    return page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]


@pytest.mark.parametrize(
    "name", ["", "x" * 1_000_000, "a\0b", "\ud800".encode("utf-8", "replace").decode()], ids=len
)
def test_a_name_that_nobody_can_have_is_refused(alice: User, name: str) -> None:
    assert log_in(Visitor(), name) == 400


def test_six_failures_at_one_name_from_one_address(alice: User) -> None:
    assert [guess() for _ in range(6)] == [400] * 5 + [429]
    response = Visitor().send("/users/log_in", {"username": "Alice", "password": PASSWORD}, REMOTE_ADDR=HERE)
    assert response.status_code == 429
    assert response["Retry-After"] == "900"
    assert "15 minutes" in text_of(response)
    # other names from that address, and that name from other addresses, are not locked out
    UserFactory.create(username="Bob", password=PASSWORD)
    assert log_in(Visitor(), "Bob", REMOTE_ADDR=HERE) == 302
    assert log_in(Visitor(), "Alice", REMOTE_ADDR="198.51.100.7") == 302


def test_one_address_that_tries_many_names(alice: User) -> None:
    answers = [guess(f"listener{number}") for number in range(LIMITS["address"])]
    assert answers == [400] * (LIMITS["address"] - 1) + [429]
    assert log_in(Visitor(), "Alice", REMOTE_ADDR=HERE) == 429


def test_many_addresses_that_try_one_name(alice: User) -> None:
    at_home = Visitor()
    log_in(at_home)
    at_home.send("/users/log_out", {})
    answers = [guess(address=f"198.51.100.{number}") for number in range(LIMITS["name"])]
    assert answers == [400] * (LIMITS["name"] - 1) + [429]
    assert log_in(Visitor(), REMOTE_ADDR="203.0.113.1") == 429
    # the listener herself, in a browser that has logged in before
    assert log_in(at_home, REMOTE_ADDR="203.0.113.2") == 302


def test_the_mark_of_a_known_browser_cannot_be_made_up_or_used_for_others(alice: User, bob: User) -> None:
    bobs = Visitor()
    log_in(bobs, "Bob")
    bobs.send("/users/log_out", {})
    for number in range(LIMITS["name"]):
        guess(address=f"198.51.100.{number}")
    assert log_in(bobs, "Alice", REMOTE_ADDR="203.0.113.1") == 429
    forged = Visitor()
    forged.cookies["balados_known"] = bobs.cookies["balados_known"].value.replace("bob", "alice")
    assert log_in(forged, "Alice", REMOTE_ADDR="203.0.113.1") == 429


def test_the_mark_of_a_known_browser_is_ascii_whatever_the_name(stores: None) -> None:
    name = "Zoë山田"
    UserFactory.create(username=name, password=PASSWORD)
    at_home = Visitor()
    assert log_in(at_home, name) == 302
    # the web server ignores a Cookie header with other characters, and then nobody stays logged in
    assert at_home.cookies.output().isascii()
    at_home.send("/users/log_out", {})
    for number in range(LIMITS["name"]):
        guess(name, address=f"198.51.100.{number}")
    assert log_in(Visitor(), name, REMOTE_ADDR="203.0.113.1") == 429
    assert log_in(at_home, name.upper(), REMOTE_ADDR="203.0.113.2") == 302


def test_an_account_of_ones_own_buys_no_more_guesses(alice: User, bob: User) -> None:
    for _ in range(5):
        guess()
    assert log_in(Visitor(), "Bob", REMOTE_ADDR=HERE) == 302
    assert guess() == 429


def test_a_listener_who_remembers_starts_anew(alice: User) -> None:
    for _ in range(5):
        guess()
    assert log_in(Visitor(), REMOTE_ADDR=HERE) == 302
    assert guess() == 400


def test_a_lock_out_ends(alice: User, settings: Settings) -> None:
    for _ in range(7):
        guess()
    attempt = AccessAttempt.objects.get()
    AccessAttempt.objects.update(
        attempt_time=attempt.attempt_time - settings.AXES_COOLOFF_TIME - timedelta(seconds=1)
    )
    assert log_in(Visitor(), REMOTE_ADDR=HERE) == 302


def test_a_household_of_ipv6_counts_as_one(alice: User) -> None:
    answers = [guess(address=f"2001:db8:1:2:{number:x}::1") for number in range(6)]
    assert answers == [400] * 5 + [429]
    assert guess(address="2001:db8:1:3::1") == 400


def test_what_a_caller_claims_to_be_is_not_believed(alice: User, settings: Settings) -> None:
    answers = [guess(HTTP_X_FORWARDED_FOR=f"203.0.113.{number}") for number in range(6)]
    assert answers == [400] * 5 + [429]
    # but the last entry, which our own proxy wrote, is believed
    settings.TRUSTED_PROXIES = 1
    claimed = [guess(HTTP_X_FORWARDED_FOR=f"203.0.113.{number}, 198.51.100.1") for number in range(6)]
    assert claimed == [400] * 5 + [429]


def test_no_address_at_all_is_counted_too(alice: User) -> None:
    assert [guess(address="") for _ in range(6)] == [400] * 5 + [429]


def test_nothing_secret_of_a_guess_is_kept(alice: User) -> None:
    fields = {"username": "Alice", "password": "my password for the bank", "next": "/authorize?token=secret"}
    Visitor().send("/users/log_in", fields)
    kept = str(AccessAttempt.objects.values().get())
    assert "bank" not in kept
    assert "token=secret" not in kept
