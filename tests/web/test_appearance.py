"""Check every page in each of its states: axe finds nothing in light or dark mode, and the page fits a phone.

With PICTURES=1 the tests write screenshots to tests/screenshots/, as phones (320 and 390 px) and a desktop
(1,280 px) show the pages.
"""

import base64
import os
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from django.db import OperationalError
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from accounts import app_log, grants, setup
from accounts.app_log import Entry
from accounts.app_models import AppPassword
from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.privacy import ChangePrivacy
from feeds.models import Feed
from projections import popularity
from tests.apps import App
from tests.factories import UserFactory
from tests.projecting import bring_up_to_date
from tests.web.browsing import PASSWORD, log_in
from tests.web.library import NOW, a_year, follow, hear, listen, page_of, page_of_episode, show

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parent.parent / "screenshots"
WITH_PICTURES = bool(os.environ.get("PICTURES"))
WIDTHS = {"small-phone": 320, "phone": 390, "tablet": 768, "desktop": 1280}
LONG_NAME = "The Extraordinarily Long-Winded Podcast Companion of the Greater Metropolitan Area"
TITLES = (
    "Slow Radio",
    f"{LONG_NAME}, Unabridged",
    "بودكاست الراديو البطيء",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze",
    "<b>Bold</b> & Brave",
)
ALL: dict[str, object] = {"resultTypes": ["violations"]}
# the only rules that another colour scheme can break
OF_COLOURS = {**ALL, "runOnly": ["color-contrast", "link-in-text-block"]}
# a PNG of one orange pixel
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGN4UGAAAAO0AYFHimjeAAAAAElFTkSuQmCC"
)


def check(page: Page, name: str) -> None:
    """Check a page with axe in both colour schemes; and once its width, which does not depend on colours."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        if scheme == "light" or WITH_PICTURES:
            check_widths(page, f"{name}-{scheme}")
        found = looked_at(page, ALL if scheme == "light" else OF_COLOURS)
        assert not found.violations_count, f"{name}, {scheme}:\n{found.generate_report()}"


def check_widths(page: Page, name: str) -> None:
    for device, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 844})
        scrolled = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not scrolled, f"{name} is wider than a {device}"
        if WITH_PICTURES:
            take_picture(page, f"{name}-{device}.png")


def looked_at(page: Page, options: dict[str, object]) -> AxeResults:
    """Return what axe finds; its script is added to each document once."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(AXE_SCRIPT)
    return AxeResults(page.evaluate("options => axe.run(options)", options))


def take_picture(page: Page, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    # scrollable boxes are painted one frame later than the rest
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.screenshot(path=PICTURES / name, full_page=True)


FOR_EVERYBODY = {
    "home": "/",
    "log-in": "/users/log_in",
    "register": "/users/register",
    "no-app": "/authorize",
    "bad-token": "/authorize?token=a.b.c",
    "not-found": "/nothing",
    "setup-closed": "/setup",
    "help": "/help",
}


def test_the_pages_for_everybody(page: Page, operator: User) -> None:
    for name, path in FOR_EVERYBODY.items():
        page.goto(path)
        check(page, name)


def test_before_the_set_up(page: Page) -> None:
    page.goto("/")
    check(page, "home-before-setup")
    page.goto("/setup?token=0123456789abcdef")
    check(page, "setup")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill("0123456789")
    page.get_by_label("The password again").fill("0123456780")
    page.get_by_role("button", name="Make the administrator").click()
    expect(page.get_by_text("This user name is reserved.")).to_be_visible()
    check(page, "setup-errors")


def test_registration_is_closed(page: Page, operator: User, settings: Settings) -> None:
    settings.REGISTRATION_OPEN = False
    page.goto("/users/register")
    check(page, "registration-closed")


def test_a_wrong_password_and_too_many_of_them(page: Page, alice: User, settings: Settings) -> None:
    page.goto("/users/log_in")
    log_in(page, "Alice", "wrong")
    check(page, "log-in-error")
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        log_in(page, "Alice", "wrong")
    expect(page.get_by_role("heading", name="Too many tries")).to_be_visible()
    check(page, "too-many")


def enter(page: Page, path: str) -> None:
    page.goto("/users/log_in")
    log_in(page, "Alice")
    page.goto(path)


def ask(page: Page, app: App, *scopes: str, **description: str) -> None:
    page.goto(f"/authorize?token={app.authorization(scopes, app=app.description(**description))}")


def test_the_pages_of_a_listener(page: Page, alice: User) -> None:
    """Check the pages when empty, then with titles that are long, right-to-left or contain markup."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    enter(page, "/")
    check(page, "home-empty")
    page.goto("/subscriptions")
    check(page, "subscriptions-empty")
    own = page.url.removesuffix("/subscriptions")
    feeds = [show(number, 3, title=title) for number, title in enumerate(TITLES)]
    feeds.append(show(9, 0, title="", state=Feed.State.NEW))
    episode = feeds[1].episodes.get(guid="1-1")
    episode.title, episode.extra = (
        TITLES[1],
        {"pscChapters": [{"chapter": [{"start": "0", "title": TITLES[1]}]}]},
    )
    episode.save()
    hear(alice, episode, 754)
    hear(alice, feeds[2].episodes.get(guid="2-1"), 1_800, played=True)
    listen(alice, *a_year(feeds[:5]))
    follow(alice, *feeds)
    share(UserFactory.create(username="Bob"), *feeds[:5])
    addresses = {
        "home": "/",
        "search": "/search?q=episode",
        "trending": "/trending/podcasts",
        "timeline": "/timeline",
        "subscriptions": "/subscriptions",
        "subscriptions-nothing": "/subscriptions?q=nothing",
        "subscriptions-new": "/subscriptions/new",
        "subscriptions-new-found": f"/subscriptions/new?q={feeds[1].url}",
        "podcast": page_of(feeds[2]),
        "podcast-new": page_of(feeds[-1]),
        "episode": page_of_episode(episode),
        "statistics": "/statistics",
    }
    for name, address in addresses.items():
        page.goto(address)
        check(page, name)
    User.objects.update(language="fr")
    page.set_viewport_size({"width": 320, "height": 844})
    for name, address in addresses.items():
        page.goto(address)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), f"{name} in French"
    User.objects.update(language="")
    page.goto("/subscriptions")
    page.get_by_role("button", name="List").click()
    expect(page.get_by_role("button", name="List")).to_have_attribute("aria-pressed", "true")
    check(page, "subscriptions-list")
    page.get_by_role("button", name=f"Unfollow {TITLES[0]}").click()
    expect(page.get_by_role("status").filter(has_text="You no longer follow")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.get_by_role("status").filter(has_text="Undone.")).to_be_visible()
    assert [url for url in requested if not url.startswith(own)] == []


def share(user: User, *feeds: Feed) -> None:
    """Follow these feeds in public, and update the public figures."""
    dispatch(ChangePrivacy(user_id=user.pk, level="public", now=NOW), Origin())
    follow(user, *feeds)
    popularity.recalculate()
    bring_up_to_date()


def test_an_app_seen_for_the_first_time(page: Page, alice: User) -> None:
    enter(page, "/")
    ask(page, App(), "user.sync", "user.read", redirect_uri="com.example.castaway:/done")
    check(page, "authorize-first-seen")
    ask(page, App(LONG_NAME, "org.example." + "x" * 90), "*", url="https://bücher.example/" + "a" * 200)
    check(page, "authorize-long")


def test_an_app_that_asks_for_more(page: Page, alice: User) -> None:
    App().grant(alice, ["user.subscriptions", "user.privacy.read"])
    enter(page, "/")
    ask(page, App(), "user.subscriptions", "user.plays", "user.playlists.read")
    check(page, "authorize-more")


def test_an_app_with_another_key(page: Page, alice: User, bob: User) -> None:
    App().grant(alice, ["user.subscriptions"])
    enter(page, "/")
    ask(page, App(key="second"), "user.subscriptions")
    check(page, "authorize-other-key")
    page.get_by_role("button", name="Let it in").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing has changed yet")
    check(page, "authorize-other-key-unconfirmed")
    grants.revoke(alice.pk, "org.example.castaway")
    App().grant(bob, ["user.subscriptions"])
    ask(page, App(key="second"), "user.subscriptions")
    expect(page.get_by_text("This is not that app")).to_be_visible()
    check(page, "authorize-other-app")


def test_the_end_of_an_authorization(page: Page, alice: User) -> None:
    enter(page, "/")
    ask(page, App(), "user.sync")
    page.get_by_role("button", name="No").click()
    expect(page.get_by_role("heading", name="is not let in")).to_be_visible()
    check(page, "authorize-denied")
    ask(page, App(), "user.sync")
    page.get_by_role("button", name="Let it in").click()
    expect(page.get_by_label("Your user id")).to_be_visible()
    check(page, "authorize-done")


def test_the_apps(page: Page, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(page, "/apps")
    check(page, "apps-none")
    App().grant(alice, ["user.sync", "user.read"])
    App(LONG_NAME, "net.example.companion", key="second").grant(alice, ["*"])
    page.reload()
    check(page, "apps")
    page.locator("summary").first.click()
    check(page, "apps-open")
    page.get_by_role("link", name="Revoke Castaway").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "apps-revoke")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_be_visible()
    check(page, "apps-revoked")
    page.get_by_role("link", name="Make addresses").click()
    page.get_by_label("Which player is it for?").fill(LONG_NAME)
    page.get_by_role("button", name="Make addresses").click()
    expect(page.get_by_role("heading", name=f"Addresses for {LONG_NAME}")).to_be_visible()
    page.locator("summary").first.click()
    check(page, "token")


def test_what_a_podcast_app_did_lately(page: Page, alice: User) -> None:
    row, _ = AppPassword.objects.issue(alice.pk, LONG_NAME, NOW)
    enter(page, f"/apps/passwords/{row.pk}/requests")
    check(page, "app-log-none")
    skipped = [(f"https://example.org/{'long' * 40}", "scheme"), ("file:///" + TITLES[2], "scheme")]
    entries = [
        Entry("sent_actions", {"plays": 28, "others": 2, "new": 29, "known": 1}, is_news=True),
        Entry("sent_podcasts", {"came": 5, "added": 3}, tuple(skipped), 7, is_news=True),
        *[Entry("asked_podcasts"), Entry("asked_actions")] * 20,
        Entry("wrong_password", status=401),
    ]
    for number, entry in enumerate(entries):
        at = timezone.now() - timedelta(minutes=100 - number)
        app_log.note(alice.pk, row.pk, "AntennaPod/3.11", entry, at)
    page.reload()
    check(page, "app-log")
    page.goto("/apps")
    expect(page.get_by_text("Refused: the password was wrong")).to_be_visible()
    page.get_by_role("link", name="What The Extra").click()
    expect(page.get_by_role("heading", name="What The Extra")).to_be_visible()


def test_the_picture_of_an_app_in_wide_use(page: Page, alice: User, server: str) -> None:
    app = App()
    page.route(
        "https://castaway.example/icon.png", lambda route: route.fulfill(body=PIXEL, content_type="image/png")
    )
    for number in range(grants.IMAGE_USERS):
        app.grant(UserFactory.create(username=f"listener{number}"), ["user.sync"])
    enter(page, "/")
    ask(page, app, "user.sync")
    expect(page.locator("main img")).to_be_visible()
    check(page, "authorize-picture")


def test_the_app_creator(page: Page) -> None:
    page.goto("/app-creator")
    check(page, "app-creator")
    page.get_by_label("Name", exact=True).fill("Castaway")
    page.get_by_label("App id").fill("org.example.castaway")
    page.get_by_role("button", name="Make the keys").click()
    expect(page.get_by_role("heading", name="Ready")).to_be_visible()
    check(page, "app-creator-done")


def test_the_app_creator_without_a_script(page: Page) -> None:
    page.route("**/app-creator.js", lambda route: route.abort())
    page.goto("/app-creator")
    check(page, "app-creator-without-script")


def test_the_administration(page: Page, operator: User) -> None:
    """The pages of Django's administration, in our design."""
    page.goto("/users/log_in?next=/admin/")
    log_in(page, "Olivia")
    for name in ("/admin/", "/admin/accounts/user/"):
        page.goto(name)
        check(page, f"admin{name.removeprefix('/admin').replace('/', '-').rstrip('-')}")


@pytest.mark.parametrize("name", ["fault", "store-away"])
def test_a_fault_of_ours(page: Page, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail() -> bool:
        raise ZeroDivisionError if name == "fault" else OperationalError

    monkeypatch.setattr(setup, "pending", fail)
    page.goto("/")
    check(page, name)


def test_an_expired_form(page: Page, operator: User) -> None:
    page.goto("/users/log_in")
    page.context.clear_cookies()
    log_in(page, "Olivia", PASSWORD)
    expect(page.get_by_role("heading", name="The form has expired")).to_be_visible()
    check(page, "form-expired")
