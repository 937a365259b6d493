"""Privacy and profiles in a browser: axe finds nothing, and no page reloads."""

import pytest
from playwright.sync_api import FilePayload, Page, expect

from accounts.models import User
from tests.feeds.pictures import picture
from tests.projecting import bring_up_to_date
from tests.web.browsing import complaints, log_in
from tests.web.library import follow, hear, page_of, show
from tests.web.people import Visitor
from tests.web.test_appearance import TITLES, check

pytestmark = pytest.mark.browser


def test_a_listener_looks_at_what_others_see_and_changes_it(page: Page, alice: User) -> None:
    problems = complaints(page)
    feeds = [show(number, 1, title=title) for number, title in enumerate(TITLES)]
    follow(alice, *feeds)
    for feed in feeds[:2]:
        hear(alice, feed.episodes.get(), 100)
    Visitor(alice).send(f"{page_of(feeds[1])}/privacy", {"level": "anonymous"})
    bring_up_to_date()
    page.goto("/users/log_in")
    log_in(page, "Alice")
    page.goto(page_of(feeds[0]))
    page.evaluate("window.isKept = true")
    page.get_by_role("link", name="Private: change who sees it").click()
    page.get_by_role("link", name="All of your privacy").click()
    expect(page.get_by_role("heading", name="What others see of you now")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Public Others").click()
    expect(page.get_by_role("dialog")).to_contain_text("Make your account public?")
    assert problems == []
    check(page, "privacy-preview")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("status")).to_contain_text("Your account is public now.")
    bring_up_to_date()
    page.get_by_role("link", name="Profile", exact=True).click()
    page.get_by_label("Picture", exact=True).set_input_files(
        FilePayload(name="me.png", mimeType="image/png", buffer=picture("PNG", (200, 200)))
    )
    page.get_by_label("Name", exact=True).fill("أليس")
    page.get_by_label("Links").fill(f"alice.example/{'about' * 20}")
    page.get_by_label("Others may see").check()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("status")).to_contain_text("Others see your profile")
    check(page, "profile")
    page.get_by_role("link", name="/u/Alice").click()
    expect(page.get_by_role("heading", name="أليس")).to_be_visible()
    check(page, "person")
    assert page.evaluate("window.isKept")
