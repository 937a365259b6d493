"""Pages while a store is unavailable, in maintenance or lagging: they say so, and nothing typed is lost."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django.db
import pytest
from django.db import connections
from playwright.sync_api import Page, expect

from accounts.models import User
from eventstore import dispatcher, log
from operations import maintenance
from operations.stores import Note, connect
from tests.factories import PASSWORD
from tests.projecting import bring_up_to_date
from tests.web.library import follow, page_of, show
from tests.web.people import Response, Visitor, text_of
from tests.web.test_appearance import check, enter
from tests.web.test_every_page import pages, path_of
from web import read_your_writes

FRENCH = {"Accept-Language": "fr"}
ODD = '/history?kind=plays&x="<b>é'


@contextmanager
def away(alias: str) -> Iterator[None]:
    """Let every connection to the store fail."""

    def fail(*_: Any) -> None:
        raise django.db.OperationalError("connection refused")

    connection = connections[alias]
    connection.close()
    dispatcher.clear_cache()
    log.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "get_new_connection", fail)
        yield
    connection.close()


@contextmanager
def closed(alias: str) -> Iterator[None]:
    """Close the store to writes, as an operator does for maintenance."""
    with connect(alias) as connection:
        maintenance.enable(connection, alias, Note("maintenance"))
        try:
            yield
        finally:
            maintenance.disable(connection, alias)


def test_every_page_says_so_in_both_languages_while_a_store_is_away(alice: User, operator: User) -> None:
    follow(alice, show(1, 3))
    visitor = Visitor(alice)
    visitor.get("/settings/account")
    paths = [path_of(pattern) for pattern in pages() if not pattern.pattern.converters]
    wrong, unavailable = [], set()
    for alias in ("system", "projections", "events"):
        with away(alias):
            for path in paths:
                page = visitor.get(path)
                unavailable |= {(alias, path)} if page.status_code == 503 else set()
                if not _is_clear(path, page):
                    wrong.append((alias, path, page.status_code))
            french = text_of(visitor.get("/subscriptions", headers=FRENCH))
            assert "De retour dans un instant" in french or alias == "events"
    assert wrong == []
    assert {
        ("system", "/"),
        ("projections", "/"),
        ("projections", "/subscriptions"),
        ("events", "/history"),
    } <= unavailable


def _is_clear(path: str, page: Response) -> bool:
    """Return whether the page, or one that explains the outage, was shown, and nobody seemed logged out."""
    if page.status_code in (301, 302):
        return "/users/log_in" not in page["Location"]
    if path.startswith("/health/"):
        return True
    if page.status_code != 503:
        return page.status_code < 500
    return "Back in a moment" in text_of(page) and int(page["Retry-After"]) > 0


def resend(visitor: Visitor, page: Response) -> Response:
    """Press the button of the page, as a browser would, and return the answer."""
    text = text_of(page)
    action = html.unescape(re.findall(r'<form[^>]* action="([^"]+)"', text)[0])
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', text)
    return visitor.post(action, {name: html.unescape(value) for name, value in fields})


def test_a_form_is_sent_again_with_one_button_once_the_store_is_back(alice: User) -> None:
    visitor = Visitor(alice)
    visitor.get("/settings/account")
    with away("system"):
        page = visitor.send("/settings/preferences", {"language": "fr", "time_zone": "Europe/Paris"})
    assert (page.status_code, "no-store" in page["Cache-Control"]) == (503, True)
    assert resend(visitor, page)["Location"] == "/settings/account"
    alice.refresh_from_db()
    assert (alice.language, alice.time_zone) == ("fr", "Europe/Paris")


def test_in_maintenance_too_whatever_characters_it_has(alice: User) -> None:
    visitor = Visitor(alice)
    path = page_of(show(1))
    with closed("events"):
        page = visitor.send(f"{path}/follow", {"back": ODD})
        assert page.status_code == 503
        assert "<h1>Maintenance</h1>" in text_of(page)
        assert f'value="{html.escape(ODD)}"' in text_of(page).replace("&#x27;", "&#39;")
        assert visitor.get(path).status_code == 200, "what is there can be read"
    assert resend(visitor, page).status_code in (200, 302)
    assert log.head() > 0


def test_a_password_is_not_written_into_the_page(alice: User) -> None:
    visitor = Visitor(alice)
    visitor.get("/settings/account")
    with away("system"):
        page = visitor.send("/settings/email", {"email": "me@example.org", "password": PASSWORD})
    assert page.status_code == 503
    assert "go back in your browser" in text_of(page)
    assert "<form" not in text_of(page)
    assert PASSWORD not in text_of(page)


def test_what_another_site_has_sent_is_not_offered_to_be_sent_again(alice: User) -> None:
    visitor = Visitor(alice)
    with away("system"):
        page = visitor.post("/settings/preferences", {"language": "fr"})
    assert page.status_code == 403
    assert "<form" not in text_of(page)


def test_while_read_models_lag_a_page_says_that_something_is_missing(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_your_writes, "PATIENCE", 0.01)
    feed = show(1)
    visitor = Visitor(alice)
    visitor.send(f"{page_of(feed)}/follow", {})
    notice = "What you did last is kept, and shows here in a moment."
    assert notice in text_of(visitor.get("/subscriptions"))
    bring_up_to_date()
    assert notice not in text_of(visitor.get("/subscriptions"))


@pytest.mark.browser
def test_what_is_done_in_place_says_why_it_did_not_work(page: Page, alice: User) -> None:
    enter(page, page_of(show(1)))
    follow_button = page.get_by_role("main").get_by_role("button", name="Follow", exact=True)
    with closed("events"):
        follow_button.click()
        expect(page.get_by_text("This server is being worked on")).to_be_visible()
        check(page, "maintenance-in-place")
    follow_button.click()
    expect(page.get_by_role("button", name="Unfollow")).to_be_visible()
