"""Copying an address, in a browser that navigates from page to page."""

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from tests.web.browsing import log_in
from tests.web.library import follow, page_of_episode, show

pytestmark = pytest.mark.browser


def test_every_button_says_that_it_has_copied_and_then_what_it_does(page: Page, alice: User) -> None:
    feed = show(1, 1)
    follow(alice, feed)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/users/log_in?next={page_of_episode(feed.episodes.get()).replace('?', '%3F')}")
    log_in(page, "Alice")
    for field, name in (("address", "Share"), ("share", "Copy")):
        button = page.locator(f"[data-copies={field}]")
        button.click()
        expect(button).to_contain_text("Copied")
        expect(button).to_contain_text(name)
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.locator(f"#{field}").input_value()
        if name == "Share":
            page.locator("main").get_by_role("link", name="Show 1").first.click()
