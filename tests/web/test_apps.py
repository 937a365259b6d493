"""The page of a user's apps: each sees and takes back his own."""

import pytest

from accounts.models import AppGrant, User
from tests.apps import App
from tests.web.people import Visitor, text_of

CASTAWAY = App()
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
    response = visitor.send("/apps", {"app_id": CASTAWAY.iss})
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
    assert visitor.send("/apps", {"app_id": app_id}).status_code == 302
    assert "shut out" not in text_of(visitor.get("/apps"))
    assert AppGrant.objects.count() == 2


def test_strangers_are_sent_to_log_in(alice: User) -> None:
    CASTAWAY.grant(alice)
    assert Visitor().get("/apps")["Location"] == "/users/log_in?next=/apps"
    assert Visitor().send("/apps", {"app_id": CASTAWAY.iss})["Location"] == "/users/log_in?next=/apps"
    assert AppGrant.objects.exists()


def test_revoking_takes_the_pages_own_form(alice: User) -> None:
    CASTAWAY.grant(alice)
    assert Visitor(alice).post("/apps", {"app_id": CASTAWAY.iss}).status_code == 403
    assert AppGrant.objects.exists()


def test_an_app_cannot_use_the_pages(alice: User) -> None:
    CASTAWAY.grant(alice)
    for page in ("/subscriptions", "/apps"):
        assert Visitor().get(page, headers=CASTAWAY.bearer(alice.pk)).status_code == 302
