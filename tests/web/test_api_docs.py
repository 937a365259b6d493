"""The API documentation page, on which the API can be tried in a browser."""

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

pytestmark = pytest.mark.browser


def test_it_shows_every_operation_and_breaks_no_policy(page: Page) -> None:
    complaints: list[str] = []
    asked: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/api/docs/")
    operations = page.request.get("/api/schema/").text().count("operationId")
    assert operations > 10
    expect(page.locator(".opblock")).to_have_count(operations)
    page.get_by_text("Record a play", exact=True).click()
    expect(page.get_by_text("Every play is recorded; the latest decides the status.")).to_be_visible()
    assert complaints == []
    # nothing is loaded from other servers (Swagger UI embeds some pictures as data: URLs)
    assert {url.split("/")[2] for url in asked if not url.startswith("data:")} == {page.url.split("/")[2]}


def test_it_tries_a_request(page: Page) -> None:
    page.goto("/api/docs/")
    page.get_by_text("Who am I", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("401")
