"""Pages that learn at once what the listener's other devices do, over a real connection."""

from collections.abc import Iterator

import pytest
from django.conf import settings as configuration
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.plays import RecordPlay
from feeds.models import Feed
from tests.feeds.rows import item_name, name_of
from tests.live.sockets import Gateway
from tests.projecting import bring_up_to_date
from tests.web.browsing import complaints
from tests.web.library import follow, show
from tests.web.serving import audio_files, silence
from tests.web.test_player import LENGTH, enter, expect_playing, place, published, wait_until
from web import read_your_writes

pytestmark = pytest.mark.browser
PHONE = Origin(app_id="org.example.castaway", device_id="phone-1", device_name="Phone")
# the page also receives its own plays as changes, sooner or later
TELLS_OF_THE_PHONE = """document.addEventListener('live:changes', ({ detail }) => {
    window.isTold ||= detail.play_statuses?.some(each => each.position === 400);
})"""


@pytest.fixture
def publisher() -> Iterator[str]:
    with audio_files({f"/{number}.wav": silence(LENGTH) for number in range(3)}) as address:
        yield address


@pytest.fixture
def gateway(server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(read_your_writes, "PATIENCE", 0)
    with Gateway() as running:
        settings.LIVE, settings.LIVE_URL = True, f"ws://localhost:{running.port}"
        directives = configuration.CONTENT_SECURITY_POLICY["DIRECTIVES"]
        allowed = {**directives, "connect-src": ["'self'", settings.LIVE_URL]}
        settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": allowed}
        yield running


def on_the_phone(user: User, feed: Feed, number: int, position: int) -> None:
    episode = list(feed.episodes.order_by("sort_at"))[number]
    command = RecordPlay(
        user_id=user.pk,
        now=timezone.now(),
        feed=name_of(feed),
        item=item_name(episode),
        position=position,
        played=False,
    )
    dispatch(command, PHONE)
    bring_up_to_date()


def test_a_player_that_is_paused_follows_the_phone_and_lists_show_what_is_new(
    page: Page, gateway: Gateway, alice: User, publisher: str
) -> None:
    follow(alice, feed := published(publisher))
    bring_up_to_date()
    problems = complaints(page)
    enter(page)
    wait_until(page, "document.querySelector('#listening') !== null")
    wait_until(page, "document.documentElement.classList.contains('is-live')")
    # the first page shows without a reload what was started on another device
    expect(page.get_by_role("heading", name="Continue listening")).to_have_count(0)
    on_the_phone(alice, feed, 1, 200)
    expect(page.get_by_role("heading", name="Continue listening")).to_be_visible()
    page.get_by_role("link", name="Play Episode 1-0").click()
    expect_playing(page)
    # while the listener plays here, another device does not move the position
    page.evaluate(TELLS_OF_THE_PHONE)
    on_the_phone(alice, feed, 0, 400)
    wait_until(page, "window.isTold")
    expect_playing(page)
    assert place(page) < 60
    page.get_by_role("button", name="Pause", exact=True).click()
    wait_until(page, "document.getElementById('player-audio').paused")
    # the browser says that it is paused in an event that follows, in which the position is sent
    expect(page.locator("#player-toggle")).to_have_attribute("aria-label", "Play")
    wait_until(page, "!Object.keys(localStorage).some(name => name.startsWith('balados-plays'))")
    own = place(page)
    on_the_phone(alice, feed, 0, 300)
    expect(page.get_by_text("Another device went on")).to_be_visible()
    assert place(page) == 300
    on_the_phone(alice, feed, 0, 315)
    wait_until(page, "document.getElementById('player-audio').currentTime === 315")
    page.get_by_role("button", name="Back to where it was here").click()
    expect(page.get_by_text("Another device went on")).to_have_count(1)
    expect(page.get_by_text("Another device went on")).to_be_hidden()
    assert abs(place(page) - own) < 1
    # another tab of this browser is not another device, but this tab still follows its position
    tab = page.context.new_page()
    tab.goto("/")
    tab.get_by_role("link", name="Play Episode 1-0").click()
    expect_playing(tab)
    expect(page.get_by_text("It was started in another tab")).to_be_visible()
    tab.locator("#player-place").fill("500")
    wait_until(page, "document.getElementById('player-audio').currentTime >= 500")
    expect(page.get_by_text("It was started in another tab")).to_be_visible()
    tab.close()
    assert problems == []


def test_titles_of_new_podcasts_appear_as_soon_as_they_are_fetched(page: Page, alice: User) -> None:
    feed = show(1, title="", state="new", episode_count=0, fetched_at=None, ok_at=None)
    follow(alice, feed)
    enter(page)
    page.goto("/subscriptions")
    expect(page.locator("#found")).to_contain_text("being fetched")
    Feed.objects.update(state="active", title="Slow Radio")
    expect(page.locator("#found")).to_contain_text("Slow Radio", timeout=15_000)
    expect(page.locator("#found[data-pending]")).to_have_count(0)
