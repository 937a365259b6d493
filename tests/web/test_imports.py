"""/subscriptions/import/…: importing everything from another sync server."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from accounts.import_models import ServerImport
from accounts.models import User
from jobs import imports as jobs
from tests import leaks
from tests.feeds.origin import Origin, allowed, status_only
from tests.imports.servers import PASSWORD, Mygpo, play
from tests.web.browsing import log_in
from tests.web.counting import counting
from tests.web.people import Response, Visitor, text_of
from web import imports

NEW, BEGIN = "/subscriptions/new", "/subscriptions/import/server"
DEVICES = "/api/2/devices/alice.json"


@pytest.fixture
def gpodder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mygpo]:
    """Run the worker's tasks at once, without the usual second between two imports."""
    monkeypatch.setattr(imports, "SOONEST", timedelta(0))
    monkeypatch.setattr(jobs.run, "apply_async", lambda args, countdown, **_: countdown or jobs.run(*args))
    with Origin() as origin, allowed(settings, origin):
        found = Mygpo(origin)
        found.lists["phone"] = ["https://shows.example/1.xml", "ftp://old.example/"]
        found.actions = [play(number) for number in range(1, 4)]
        yield found


def send(visitor: Visitor, address: str, **fields: Any) -> Response:
    leaks.remember(PASSWORD)
    form = {"server": address, "name": "alice", "password": PASSWORD, "number": str(uuid4()), **fields}
    return visitor.send(BEGIN, form)


def test_everything_comes_over_and_the_report_says_what(alice: User, gpodder: Mygpo) -> None:
    visitor = Visitor(alice)
    assert 'action="/subscriptions/import/server"' in text_of(visitor.get(NEW))
    answer = send(visitor, gpodder.address)
    assert answer.status_code == 302
    page = text_of(visitor.get(answer["Location"]))
    assert "Everything is here." in page
    assert "1 new · 1 refused" in page
    assert '<p class="facts-line">3 new</p>' in page
    assert "Podcast 2: This is no web address" in page
    assert "hx-trigger" not in page.partition("<main")[2].partition("</main>")[0]
    assert PASSWORD not in page
    history = text_of(visitor.get("/history"))
    assert f"imported from 127.0.0.1:{gpodder.origin.port}" in history
    assert "What came from" in text_of(visitor.get(NEW))
    again = send(visitor, gpodder.address)
    assert "All of it was here already." in text_of(visitor.get(again["Location"]))


def test_a_form_that_is_sent_twice_does_it_once(alice: User, bob: User, gpodder: Mygpo) -> None:
    visitor, number = Visitor(alice), str(uuid4())
    first, second = (send(visitor, gpodder.address, number=number) for _ in range(2))
    assert first["Location"] == second["Location"]
    assert send(Visitor(bob), gpodder.address, number=number)["Location"] != first["Location"]
    assert ServerImport.objects.filter(user=alice).count() == 1
    assert not any(bytes(row.password) for row in ServerImport.objects.all())


def test_a_second_import_waits_and_the_first_can_be_stopped(
    alice: User, gpodder: Mygpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.run, "apply_async", lambda args, **_: None)
    visitor = Visitor(alice)
    path = send(visitor, gpodder.address)["Location"]
    page = text_of(visitor.get(path))
    assert 'hx-trigger="every 2s"' in page
    assert '<meta http-equiv="refresh" content="4">' in page
    assert "Looking what is there" in page
    refused = send(visitor, gpodder.address)
    assert refused.status_code == 409
    assert "Another import is under way" in text_of(refused)
    assert "An import from" in text_of(visitor.get(NEW))
    row = ServerImport.objects.get()
    assert row.secret == PASSWORD
    assert PASSWORD.encode() not in bytes(row.password)
    assert visitor.send(f"{path}/cancel", {})["Location"] == path
    assert "You stopped it." in text_of(visitor.get(path))
    row.refresh_from_db()
    assert bytes(row.password) == b""
    jobs.run(str(row.pk))
    assert gpodder.asked == []


def test_a_server_that_fails_is_said_to_be_asked_again(alice: User, gpodder: Mygpo) -> None:
    gpodder.instead["/api/2/episodes/alice.json"] = [status_only(500)]
    visitor = Visitor(alice)
    path = send(visitor, gpodder.address)["Location"]
    page = text_of(visitor.get(path))
    assert "The server answered with an error of its own" in page
    assert "It is asked again at" in page
    assert ServerImport.objects.get().secret == PASSWORD
    jobs.run(str(ServerImport.objects.get().pk))
    assert "Everything is here." in text_of(visitor.get(path))


@pytest.mark.usefixtures("gpodder")
def test_every_fault_is_beside_its_field_and_what_was_typed_is_kept(alice: User) -> None:
    visitor = Visitor(alice)
    for fields, message in [
        ({"server": "ftp://x.example"}, "This is not the address of a server"),
        ({"server": "https://me:pw@x.example"}, "cannot be kept safe here"),
        ({"server": "http://localhost:8000/x", "name": "a:b"}, "No user name has a colon"),
        ({"password": ""}, "This field is required."),
        ({"server": "not a server"}, "names no server"),
    ]:
        answer = send(visitor, "https://x.example", **{"name": "Zoe", **fields})
        page = text_of(answer)
        assert answer.status_code == 400, message
        assert message in page
        assert PASSWORD not in page
    assert 'value="not a server"' in page
    assert 'value="Zoe"' in page
    assert not ServerImport.objects.exists()


def test_nothing_is_told_before_a_second_has_passed(
    alice: User, gpodder: Mygpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "SOONEST", timedelta(seconds=60))
    visitor = Visitor(alice)
    path = send(visitor, "http://10.0.0.1/")["Location"]
    assert "Looking what is there" in text_of(visitor.get(path))
    ServerImport.objects.update(started_at=timezone.now() - timedelta(minutes=2))
    assert "This address cannot be used" in text_of(visitor.get(path))
    assert gpodder.asked == []


def test_the_pages_take_few_statements(alice: User, gpodder: Mygpo) -> None:
    visitor = Visitor(alice)
    path = send(visitor, gpodder.address)["Location"]
    visitor.get(path)
    with counting() as since:
        for page in (NEW, path):
            assert visitor.get(page).status_code == 200
            assert since() <= 12, page


@pytest.mark.browser
def test_a_page_follows_it_to_its_end_and_then_asks_no_more(
    page: Page, alice: User, operator: User, gpodder: Mygpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.run, "apply_async", lambda args, **_: None)
    page.goto("/subscriptions/new")
    log_in(page, "Alice")
    page.goto("/subscriptions/new")
    page.get_by_label("Address of the server").fill(gpodder.address)
    page.get_by_label("User name there").fill("alice")
    page.get_by_label("Password there").fill(PASSWORD)
    page.get_by_role("button", name="Bring everything over").click()
    expect(page.get_by_text("Looking what is there")).to_be_visible()
    jobs.run(str(ServerImport.objects.get().pk))
    expect(page.get_by_text("Everything is here.")).to_be_visible()
    assert page.locator("#import[hx-get]").count() == 0
