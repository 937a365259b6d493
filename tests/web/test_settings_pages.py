"""The settings pages in a browser: how they look, and what scripts add to their forms."""

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from tests.factories import PASSWORD
from tests.web.counting import counting
from tests.web.people import Visitor
from tests.web.test_appearance import check, enter

PATHS = ("account", "email", "password", "preferences", "sessions", "data", "erase")


@pytest.mark.browser
def test_the_settings_of_an_account(page: Page, alice: User) -> None:
    Visitor(alice, HTTP_USER_AGENT="Mozilla/5.0 (Android 15) Firefox/140.0").get("/settings/account")
    address = "alice.in.wonderland.with.a.very.long.address@sub.domain.example.org"
    User.objects.filter(pk=alice.pk).update(new_email=address, language="fr", time_zone="Asia/Kathmandu")
    enter(page, "/settings/account")
    for name in ("account", "email", "sessions"):
        page.goto(f"/settings/{name}")
        check(page, f"settings-{name}")


@pytest.mark.browser
def test_a_form_with_a_password_is_sent_once_and_shows_what_is_typed(page: Page, alice: User) -> None:
    enter(page, "/settings/email")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    password = page.get_by_label("Your password")
    password.fill("not it")
    page.get_by_role("button", name="Show what is typed").click()
    expect(password).to_have_attribute("type", "text")
    page.get_by_role("button", name="Send a link there").dblclick()
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    assert len(sent) == 1
    # after the answer the form can be sent again
    password.fill(PASSWORD)
    expect(password).to_have_attribute("type", "password")
    page.get_by_label("E-mail address").fill("me@example.org")
    page.get_by_role("button", name="Send a link there").click()
    expect(page.get_by_text("A link is on its way to me@example.org.")).to_be_visible()
    assert len(sent) == 2


def test_each_asks_the_stores_a_few_things_however_many_browsers_there_are(alice: User) -> None:
    visitor = Visitor(alice)
    visitor.get("/settings/account")

    def asked() -> dict[str, int]:
        with counting() as since:
            return {path: (visitor.get(f"/settings/{path}"), since())[1] for path in PATHS}

    first = asked()
    for _ in range(5):
        Visitor(alice).get("/settings/account")
    assert asked() == first
    assert max(first.values()) <= 12
