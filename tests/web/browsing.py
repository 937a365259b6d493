"""Helpers for steps that browser tests share: filling forms, logging in, and collecting console messages."""

from playwright.sync_api import ConsoleMessage, Page

PASSWORD = "correct horse battery"


def fill_account(page: Page, name: str) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The password again").fill(PASSWORD)


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    # wait until the page's modules are loaded: until they run, enhanced controls act as plain links and forms
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()


def complaints(page: Page) -> list[str]:
    """Return a list that collects what the browser writes to its console from now on."""
    texts: list[str] = []

    def note(message: ConsoleMessage) -> None:
        texts.append(message.text)

    page.on("console", note)
    return texts
