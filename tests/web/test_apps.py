"""The page of a user's apps: users see and revoke only their own."""

from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import erasure, grants, refusals
from accounts.models import AppGrant, User
from projections.erasure import erase_history
from tests.apps import App
from tests.web.people import Visitor, text_of

CASTAWAY = App()
REVOKE = "/apps/revoke"
OTHER = App("Skipper", "net.example.skipper", key="second")


def test_a_user_sees_his_own_apps(alice: User, bob: User) -> None:
    CASTAWAY.grant(alice, ["user.plays.read"])
    OTHER.grant(bob)
    page = text_of(Visitor(alice).get("/apps"))
    assert "Castaway" in page
    assert "See what you listen to and how far" in page
    assert "Skipper" not in page


def test_revoking_works_at_once(alice: User, bob: User) -> None:
    for user in (alice, bob):
        CASTAWAY.grant(user)
    visitor = Visitor(alice)
    response = visitor.send(REVOKE, {"app_id": CASTAWAY.iss})
    assert (response.status_code, response["Location"]) == (302, "/apps")
    assert "Castaway is shut out from now on." in text_of(visitor.get("/apps"))
    assert [grant.user for grant in AppGrant.objects.all()] == [bob]


@pytest.mark.parametrize(
    "app_id", ["", "net.example.skipper", "\0", "org.example.castaway ", "x" * 10_000], ids=ascii
)
def test_an_app_that_one_has_not_let_in_cannot_be_revoked(alice: User, bob: User, app_id: str) -> None:
    CASTAWAY.grant(alice)
    OTHER.grant(bob)
    visitor = Visitor(alice)
    assert visitor.send(REVOKE, {"app_id": app_id}).status_code == 302
    assert "shut out" not in text_of(visitor.get("/apps"))
    assert AppGrant.objects.count() == 2


def test_a_page_asks_before_it_revokes(alice: User) -> None:
    CASTAWAY.grant(alice)
    page = text_of(Visitor(alice).get(REVOKE, {"app_id": CASTAWAY.iss}))
    assert "Revoke Castaway?" in page
    assert "<html" in page
    htmx = {"HX-Request": "true", "HX-Target": "dialog"}
    assert "<html" not in text_of(Visitor(alice).get(REVOKE, {"app_id": CASTAWAY.iss}, headers=htmx))
    assert Visitor(alice).get(REVOKE, {"app_id": "nobody"})["Location"] == "/apps"


def test_an_app_gets_another_name(alice: User, bob: User) -> None:
    CASTAWAY.grant(alice)
    visitor, path = Visitor(alice), f"/apps/rename?app_id={CASTAWAY.iss}"
    assert "Castaway" in text_of(visitor.get(path))
    assert visitor.send(path, {"name": " "}).status_code == 400
    visitor.send(path, {"name": "In the kitchen"})
    assert "It is called In the kitchen now." in text_of(visitor.get("/apps"))
    assert Visitor(bob).send(path, {"name": "Mine"})["Location"] == "/apps"
    assert [grant.name for grant in AppGrant.objects.all()] == ["In the kitchen"]


def test_what_was_refused_is_told_with_the_reason(alice: User, bob: User, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    for user in (alice, bob):
        CASTAWAY.grant(user, ["user.plays.read"])
    caller = Visitor(headers=CASTAWAY.bearer(alice.pk))
    assert [caller.get(f"/api/v1/{path}").status_code for path in ("subscriptions", "playlists", "me")] == [
        403,
        403,
        429,
    ]
    page = text_of(Visitor(alice).get("/apps"))
    assert "It may not do this: See the podcasts you follow." in page
    assert "It sent too many requests" in page
    assert "Refused" not in text_of(Visitor(bob).get("/apps"))
    grants.revoke(alice.pk, CASTAWAY.iss)
    assert "Refused" not in text_of(Visitor(alice).get("/apps"))


def test_refusals_end_with_a_week_and_with_the_account(alice: User) -> None:
    now = datetime.now(UTC)
    refusals.note(alice.pk, refusals.APP, "a b c", refusals.TOO_MANY, now)
    refusals.note(alice.pk, refusals.APP, "a b c", refusals.TOO_MANY, now)
    (found,) = refusals.listed(alice.pk, now)
    assert (found.who, found.times) == ("a b c", 2)
    assert refusals.listed(alice.pk, now + refusals.KEPT_FOR + timedelta(seconds=1)) == []
    erasure.begin(alice.pk, now)
    erasure.complete(alice.pk, erase_history)
    assert refusals.listed(alice.pk, now) == []


def test_without_redis_nothing_is_refused_or_told(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> NoReturn:
        raise redis.ConnectionError

    monkeypatch.setattr(refusals, "_redis", away)
    CASTAWAY.grant(alice, ["user.plays.read"])
    assert Visitor(headers=CASTAWAY.bearer(alice.pk)).get("/api/v1/subscriptions").status_code == 403
    assert "Castaway" in text_of(Visitor(alice).get("/apps"))


def test_strangers_are_sent_to_log_in(alice: User) -> None:
    CASTAWAY.grant(alice)
    assert Visitor().get("/apps")["Location"] == "/users/log_in?next=/apps"
    assert Visitor().send(REVOKE, {"app_id": CASTAWAY.iss})["Location"] == "/users/log_in?next=/"
    assert AppGrant.objects.exists()


def test_revoking_takes_the_pages_own_form(alice: User) -> None:
    CASTAWAY.grant(alice)
    assert Visitor(alice).post(REVOKE, {"app_id": CASTAWAY.iss}).status_code == 403
    assert AppGrant.objects.exists()


def test_an_app_cannot_use_the_pages(alice: User) -> None:
    CASTAWAY.grant(alice)
    for page in ("/subscriptions", "/apps"):
        assert Visitor().get(page, headers=CASTAWAY.bearer(alice.pk)).status_code == 302
