"""What people do in a browser on more than one page."""

from playwright.sync_api import ConsoleMessage, Page

PASSWORD = "correct horse battery"


def fill_account(page: Page, name: str) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The password again").fill(PASSWORD)


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    # loaded with its modules: until they run, what they do better in place are links and forms
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()


def complaints(page: Page) -> list[str]:
    """What the browser writes to its console from now on."""
    texts: list[str] = []

    def note(message: ConsoleMessage) -> None:
        texts.append(message.text)

    page.on("console", note)
    return texts
