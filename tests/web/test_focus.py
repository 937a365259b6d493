"""Where the focus goes when an answer replaces what had it: nobody who uses the keyboard begins again."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from accounts.models import User
from tests.web.browsing import log_in
from tests.web.library import follow, show

pytestmark = pytest.mark.browser


@pytest.fixture
def home(page: Page, alice: User) -> Page:
    """Alice's first page, with three new episodes, the newest first: 1-2, 1-1 and 1-0."""
    follow(alice, show(1, 3))
    page.goto("/users/log_in")
    log_in(page, "Alice")
    expect(page.get_by_role("link", name="Episode 1-0", exact=True)).to_be_visible()
    return page


def menu(page: Page) -> Locator:
    """Return the menu that opens. For 20 ms after it appears its entries are plain links and buttons, faster
    than anybody is."""
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_function("!document.querySelector('.htmx-swapping, .htmx-settling')")
    return page.get_by_role("dialog")


def test_a_row_that_leaves_gives_the_focus_to_the_same_button_of_the_next(home: Page) -> None:
    for gone, next_one in (("1-2", "1-1"), ("1-1", "1-0")):
        home.get_by_role("button", name=f"Mark Episode {gone} as played").press("Enter")
        expect(home.get_by_role("button", name=f"Mark Episode {next_one} as played")).to_be_focused()
    home.get_by_role("button", name="Mark Episode 1-0 as played").press("Enter")
    expect(home.get_by_role("main")).to_be_focused()


def test_a_choice_in_a_menu_leads_back_to_the_button_that_opened_it(home: Page) -> None:
    button = home.get_by_role("link", name=re.compile("^Episode 1-1: "))
    button.press("Enter")
    menu(home).get_by_role("button", name="Add to Up next").press("Enter")
    expect(home.get_by_text("Added to Up next.")).to_be_visible()
    expect(button).to_be_focused()


def test_a_dialog_that_follows_another_has_the_focus(home: Page) -> None:
    home.goto("/subscriptions")
    home.get_by_role("link", name=re.compile("^Show 1: ")).press("Enter")
    menu(home).get_by_role("link", name="Collections").press("Enter")
    expect(home.get_by_role("dialog").get_by_label("New collection")).to_be_focused()


def test_a_page_that_comes_back_with_errors_begins_at_the_first_of_them(page: Page, operator: User) -> None:
    page.goto("/users/register")
    page.get_by_label("User name").fill("Zoe")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_label("The password again").fill("short")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
