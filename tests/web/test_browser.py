"""The pages as people use them, in Chromium, with and without JavaScript."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect
from pytest_django.fixtures import Settings

from accounts import approval
from accounts.models import AppGrant, User
from projections import queries
from tests.apps import App
from tests.feeds.rows import name_of
from tests.projecting import bring_up_to_date
from tests.web.browsing import complaints, fill_account, log_in
from tests.web.library import follow, hear, page_of, show
from tests.web.serving import landing

pytestmark = pytest.mark.browser


@pytest.fixture(params=["with JavaScript", "without JavaScript"])
def anyone(request: pytest.FixtureRequest) -> Page:
    """A page in either kind of browser."""
    name = "page" if request.param == "with JavaScript" else "plain_page"
    found: Page = request.getfixturevalue(name)
    return found


def test_the_owner_sets_up_the_server(anyone: Page, settings: Settings) -> None:
    settings.SETUP_TOKEN = "the-owners-token"
    anyone.goto("/")
    expect(anyone.get_by_text("not set up yet")).to_be_visible()
    anyone.goto("/setup?token=the-owners-token")
    fill_account(anyone, "Olivia")
    anyone.get_by_role("button", name="Make the administrator").click()
    expect(anyone.get_by_role("heading", name="Welcome")).to_be_visible()
    anyone.get_by_role("link", name="Administration").click()
    expect(anyone.get_by_role("heading", name="Administration")).to_be_visible()


def test_a_listener_registers_logs_out_and_in_again(anyone: Page, operator: User) -> None:
    anyone.goto("/")
    anyone.get_by_role("main").get_by_role("link", name="Register").click()
    fill_account(anyone, "Alice")
    anyone.get_by_role("button", name="Register").click()
    expect(anyone.get_by_role("heading", name="Welcome")).to_be_visible()
    anyone.get_by_role("button", name="Log out").click()
    anyone.get_by_role("navigation").get_by_role("link", name="Log in").click()
    log_in(anyone, "ALICE", "not the password")
    expect(anyone.get_by_role("alert")).to_contain_text("do not belong together")
    log_in(anyone, "ALICE")
    expect(anyone.get_by_text("Logged in as Alice")).to_be_visible()


def test_an_app_is_let_in_and_taken_back(anyone: Page, alice: User) -> None:
    with landing() as app_page:
        app = App()
        token = app.authorization(
            ["user.sync"],
            state="s1",
            app=app.description(redirect_uri=f"{app_page.address}/done?flow=7"),
        )
        anyone.goto(f"/authorize?token={token}")
        log_in(anyone, "Alice")
        expect(anyone.get_by_text("Nobody on this server has let in this app yet.")).to_be_visible()
        anyone.get_by_role("button", name="Let it in").click()
        expect(anyone.get_by_text("Thank you")).to_be_visible()
        answer = parse_qs(urlsplit(app_page.visits[0]).query)
    assert answer == {
        "flow": ["7"],
        "user_id": [str(alice.pk)],
        "app_id": ["org.example.castaway"],
        "scopes": ["user.sync"],
        "state": ["s1"],
    }
    anyone.goto("/apps")
    anyone.get_by_role("link", name="Revoke Castaway").click()
    anyone.get_by_role("button", name="Revoke").click()
    expect(anyone.get_by_text("You have not let in any app yet.")).to_be_visible()
    assert not AppGrant.objects.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_policy_lets_the_browser_back_to_an_app_on_loopback(page: Page, alice: User, host: str) -> None:
    with landing() as app_page:
        app = App()
        address = app_page.address.replace("127.0.0.1", host)
        page.goto(
            f"/authorize?token={app.authorization(app=app.description(redirect_uri=f'{address}/done'))}"
        )
        log_in(page, "Alice")
        page.get_by_role("button", name="No").click()
        expect(page.get_by_text("Thank you")).to_be_visible()
        assert app_page.visits == ["/done?error=access_denied"]


@pytest.mark.parametrize(
    "address", ["com.example.app:/done", "http://[::1]:49151/done", "https://app.invalid/done"]
)
def test_the_policy_lets_the_browser_go_wherever_an_app_may_be(page: Page, alice: User, address: str) -> None:
    problems = complaints(page)
    ask_to_return_to(page, address)
    # nobody answers there, so the navigation fails; what counts is that the browser tried
    with page.expect_event("requestfailed", lambda request: request.url.startswith(address)) as went:
        page.get_by_role("button", name="Let it in").click()
    assert went.value.url.startswith(f"{address}?user_id={alice.pk}")
    assert not [text for text in problems if "form-action" in text]


def test_without_the_app_in_the_policy_the_browser_would_not_go(
    page: Page, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prove that the two tests above can fail: browsers do apply form-action to redirects."""
    monkeypatch.setattr(approval, "form_target", lambda redirect_uri: "https://elsewhere.example")
    ask_to_return_to(page, "com.example.app:/done")
    with page.expect_console_message(lambda message: "form-action" in message.text):
        page.get_by_role("button", name="Let it in").click()


def ask_to_return_to(page: Page, address: str) -> None:
    """Open the authorization page of an app that wants its answer at this address."""
    app = App()
    token = app.authorization(app=app.description(redirect_uri=address))
    page.goto(f"/authorize?token={token}")
    log_in(page, "Alice")


def test_an_app_of_ones_own_is_made_and_let_in(page: Page, alice: User) -> None:
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    page.goto("/app-creator")
    page.get_by_label("Name", exact=True).fill("Castaway")
    page.get_by_label("App id").fill("org.example.castaway")
    page.get_by_label("Website").fill("https://castaway.example")
    page.get_by_role("button", name="Make the keys").click()
    expect(page.get_by_role("heading", name="Ready")).to_be_visible()
    private_key = page.get_by_label("Private key").input_value()
    assert private_key.startswith("-----BEGIN PRIVATE KEY-----\nMII")
    page.get_by_role("link", name="Open it here").click()
    log_in(page, "Alice")
    expect(page.get_by_text("castaway.example", exact=True)).to_be_visible()
    page.get_by_role("button", name="Let it in").click()
    expect(page.get_by_label("Your user id")).to_have_value(str(alice.pk))
    # the key pair is a real one
    assert AppGrant.objects.get().scopes == ["user.sync"]
    secret = private_key.split("\n")[5]
    assert not [request.url for request in sent if secret in request.url + (request.post_data or "")]


def test_the_creator_names_no_field_and_stores_nothing(page: Page) -> None:
    page.goto("/app-creator")
    assert page.locator("main [name]").count() == 0
    page.get_by_label("Name", exact=True).fill("Castaway")
    page.get_by_label("App id").fill("org.example.castaway")
    page.get_by_role("button", name="Make the keys").click()
    expect(page.get_by_role("heading", name="Ready")).to_be_visible()
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.reload()
    assert page.get_by_label("Private key").count() == 0 or not page.locator("#private-key").input_value()


def test_the_creator_explains_itself_without_javascript(plain_page: Page) -> None:
    plain_page.goto("/app-creator")
    expect(plain_page.get_by_text("This page makes keys in the browser and needs JavaScript")).to_be_visible()
    expect(plain_page.get_by_text("openssl genpkey")).to_be_visible()
    expect(plain_page.get_by_role("button", name="Make the keys")).to_be_hidden()


def test_the_app_sees_no_token_in_the_referer(page: Page, alice: User) -> None:
    with landing() as app_page:
        app = App()
        page.goto(f"/authorize?token={app.authorization(app=app.description(url=app_page.address))}")
        log_in(page, "Alice")
        with page.expect_request(f"{app_page.address}/**") as request:
            page.get_by_role("link", name=app_page.address.removeprefix("http://")).click()
        assert "referer" not in request.value.all_headers()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/users/log_in",
        "/users/register",
        "/app-creator",
        "/subscriptions",
        "/apps",
        "/admin/",
        "/nothing",
    ],
)
def test_no_page_breaks_the_policy(context: BrowserContext, operator: User, path: str) -> None:
    page = context.new_page()
    problems = complaints(page)
    page.goto("/users/log_in?next=/admin/")
    log_in(page, "Olivia")
    page.goto(path)
    assert not [text for text in problems if "Content Security Policy" in text]


def test_a_podcast_is_followed_left_and_followed_again(anyone: Page, alice: User) -> None:
    feed = show(1, 2, title="Slow Radio")
    anyone.goto("/users/log_in?next=/subscriptions/new")
    log_in(anyone, "Alice")
    anyone.get_by_label("Address or words").fill("show1.example/feed.xml")
    anyone.get_by_role("button", name="Look for it").click()
    expect(anyone.get_by_role("heading", name="Slow Radio")).to_be_visible()
    anyone.get_by_role("button", name="Follow").click()
    expect(anyone.get_by_role("status")).to_contain_text("You follow Slow Radio.")
    User.objects.update(podcasts_as_list=True)
    bring_up_to_date()
    anyone.goto(page_of(feed))
    expect(anyone.get_by_role("button", name="You follow it")).to_be_visible()
    anyone.goto("/subscriptions")
    anyone.get_by_role("button", name="Unfollow Slow Radio").click()
    expect(anyone.get_by_role("status")).to_contain_text("You no longer follow Slow Radio.")
    bring_up_to_date()
    anyone.get_by_role("button", name="Undo").click()
    expect(anyone.get_by_role("status")).to_contain_text("Undone.")
    bring_up_to_date()
    assert [row.rss_source_feed for row in queries.subscriptions(alice.pk).rows] == [name_of(feed)]


def test_a_form_with_an_error_leads_to_the_field_that_is_to_be_mended(page: Page, alice: User) -> None:
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto("/users/log_in")
    log_in(page, "Alice")
    page.goto("/subscriptions/new")
    page.get_by_label("Address of the server").fill("ftp://files.example")
    page.get_by_label("User name there").fill("alice")
    page.get_by_label("Password there").fill("secret")
    page.get_by_role("button", name="Bring everything over").click()
    field = page.get_by_label("Address of the server")
    expect(field).to_be_focused()
    expect(field).to_be_in_viewport()
    expect(field).to_have_accessible_description(re.compile("This is not the address of a server"))


def test_a_list_is_searched_while_it_is_typed(page: Page, alice: User) -> None:
    follow(alice, show(1, 1, title="Slow Radio"), show(2, 1, title="Night Trains"))
    page.goto("/users/log_in?next=/subscriptions")
    log_in(page, "Alice")
    page.wait_for_load_state()
    page.get_by_label("Search in what you follow").press_sequentially("trains")
    expect(page.get_by_text("1 podcast found")).to_be_visible()
    expect(page.get_by_text("Slow Radio")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?q=trains"))
    page.get_by_text("Night Trains").click()
    expect(page.get_by_role("heading", name="Night Trains")).to_be_visible()
    expect(page).to_have_url(re.compile("/podcasts/"))  # the address changes a moment after the content
    page.go_back()
    expect(page.get_by_text("1 podcast found")).to_be_visible()


def test_an_episode_begins_where_its_listener_was_without_javascript(plain_page: Page, alice: User) -> None:
    feed = show(1, 1)
    episode = feed.episodes.get()
    episode.extra = {"pscChapters": [{"chapter": [{"start": "600", "title": "The thing itself"}]}]}
    episode.save()
    hear(alice, episode, 754)
    follow(alice, feed)
    asked: list[str] = []
    plain_page.on("request", lambda request: asked.append(request.url))
    plain_page.goto("/users/log_in")
    log_in(plain_page, "Alice")
    plain_page.get_by_role("link", name="Play Episode 1-0").click()
    audio = plain_page.locator("audio#audio")
    expect(audio).to_have_attribute("src", "https://audio.example/1/0.mp3#t=754")
    plain_page.get_by_role("link", name="The thing itself").click()
    expect(audio).to_have_attribute("src", "https://audio.example/1/0.mp3#t=600")
    # nothing is requested before the listener starts it
    assert not [url for url in asked if "audio.example" in url]
