"""The player in a real browser with a real file, during page changes, and the plays that it sends."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from eventstore import log
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.plays import PlayRecorded, PositionUpdated, RecordPlay
from eventstore.reading import decoded
from feeds.models import Feed
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.browsing import complaints, log_in
from tests.web.library import NOW, follow, show
from tests.web.serving import audio_files, silence
from tests.web.test_appearance import check
from tests.web.test_plays import keep
from web import read_your_writes

pytestmark = pytest.mark.browser

LENGTH = 600
REFUSE = "throw new DOMException('', 'NotAllowedError')"


@pytest.fixture
def publisher() -> Iterator[str]:
    with audio_files(
        {"/0.wav": silence(LENGTH), "/1.wav": silence(LENGTH), "/text.wav": b"no sound" * 9}
    ) as address:
        yield address


@pytest.fixture(autouse=True)
def _waits_for_no_projector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no projector: these tests run none, and update the read models where it matters."""
    monkeypatch.setattr(read_your_writes, "PATIENCE", 0)


def heard_by(user: User) -> list[tuple[int, bool]]:
    """Return position and played of every recorded play, in the order of arrival."""
    stream = log.known_stream(user.pk)
    rows = [] if stream is None else log.read_history(stream)
    events = [decoded(row) for row in reversed(rows)]
    return [
        (each.position, each.played) for each in events if isinstance(each, PlayRecorded | PositionUpdated)
    ]


def published(publisher: str, **fields: str) -> Feed:
    feed = show(1, 3, **fields)
    for number, episode in enumerate(feed.episodes.order_by("sort_at")):
        episode.enclosure_url, episode.duration = f"{publisher}/{number}.wav", LENGTH
        episode.save()
    return feed


def place(page: Page) -> float:
    return float(page.evaluate("document.getElementById('player-audio').currentTime"))


def wait_until(page: Page, condition: str) -> None:
    """Poll a condition: Playwright's own waits evaluate strings in the page, which its policy forbids."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def expect_playing(page: Page) -> None:
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert page.evaluate("!document.getElementById('player-audio').paused")


def expect_heard(user: User, *wanted: tuple[int, bool]) -> None:
    """Wait until exactly these plays were recorded, with positions within 15 seconds."""
    deadline = time.monotonic() + 30
    while len(found := heard_by(user)) < len(wanted) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [played for _, played in found] == [played for _, played in wanted], found
    far = [abs(one[0] - other[0]) for one, other in zip(found, wanted, strict=True)]
    assert max(far) < 15, found


def enter(page: Page, path: str = "/") -> None:
    page.goto(f"/users/log_in?next={path}")
    log_in(page, "Alice")
    page.wait_for_load_state()


def test_it_plays_while_pages_change_and_goes_on_in_another_browser(
    page: Page, chromium: Browser, server: str, alice: User, publisher: str
) -> None:
    follow(alice, published(publisher))
    problems = complaints(page)
    enter(page)
    page.get_by_role("link", name="Play Episode 1-0").click()
    expect_playing(page)
    expect_heard(alice, (0, False))
    page.evaluate("window.isTheSameDocument = true")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Podcasts").click()
    expect(page).to_have_title("Podcasts · Balados")
    expect(
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Podcasts")
    ).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Show 1").first.click()
    expect(page).to_have_title("Show 1 · Balados")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page).to_have_url(re.compile("/history"))
    page.go_back()
    expect(page.get_by_role("heading", name="Show 1")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect_playing(page)
    assert page.evaluate("window.isTheSameDocument")
    # a jump, fifteen seconds of playing, the keys, a pause
    page.locator("#player-place").fill("300")
    expect_heard(alice, (0, False), (300, False))
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 15_000 }")
    expect_heard(alice, (0, False), (300, False), (301, False))
    page.get_by_role("button", name="Speed").click()
    page.get_by_role("button", name="Faster").click()
    page.keyboard.press("Escape")
    page.locator("#player-place").press("ArrowRight")
    page.locator("#player-place").press(" ")
    expect(page.locator("#player-toggle[aria-label=Play]")).to_be_visible()
    expect_heard(alice, (0, False), (300, False), (301, False), (332, False))
    check(page, "player")
    page.locator("body").press("?")
    expect(page.get_by_role("dialog", name="Keys of the player")).to_be_visible()
    page.keyboard.press("Escape")
    # after a reload the player is at the same place and asks nothing
    page.reload()
    expect(page.locator("#player")).to_contain_text("Episode 1-0")
    page.locator("#player-toggle[aria-label=Play]").click()
    expect_playing(page)
    wait_until(page, "document.getElementById('player-audio').currentTime > 332.5")
    ended = place(page)
    page.close()
    assert problems == []
    bring_up_to_date()
    other = chromium.new_context(base_url=server).new_page()
    enter(other)
    other.get_by_role("link", name="Play Episode 1-0").click()
    expect_playing(other)
    assert abs(place(other) - ended) < 15
    expect(other.locator("#player")).to_contain_text("1.1×")
    so_far = [(0, False), (300, False), (301, False), (331, False), (331, False)]
    expect_heard(alice, *so_far, (int(ended), False), (int(place(other)), False))
    other.context.close()


def test_one_tab_plays_at_a_time_and_what_is_heard_offline_is_sent_later(
    context: BrowserContext, page: Page, alice: User, publisher: str
) -> None:
    follow(alice, published(publisher))
    enter(page)
    page.get_by_role("link", name="Play Episode 1-0").click()
    expect_playing(page)
    wait_until(page, "document.getElementById('player-audio').currentTime > 1")
    other = context.new_page()
    other.goto("/")
    other.get_by_role("link", name="Play Episode 1-1").click()
    expect_playing(other)
    expect(page.get_by_text("It was started in another tab")).to_be_visible()
    expect(page.locator("#player-toggle[aria-label=Play]")).to_be_visible()
    expect_heard(alice, (0, False), (1, False), (0, False))
    page.get_by_role("button", name="Play here").click()
    expect_playing(page)
    expect(other.get_by_text("It was started in another tab")).to_be_visible()
    other.close()
    before = len(heard_by(alice))
    context.set_offline(True)
    page.locator("#player-place").fill("120")
    wait_until(page, "Object.values(localStorage).some(kept => kept.includes('\"position\":120'))")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Podcasts").click()
    expect(page.get_by_text("This server cannot be reached")).to_be_visible()
    expect_playing(page)
    assert len(heard_by(alice)) == before
    # meanwhile another device goes on: once the plays of this one are sent, the listener is asked, once
    episode = Feed.objects.get().episodes.get(guid="1-0")
    order = RecordPlay(
        user_id=alice.pk,
        feed=name_of(episode.feed),
        item=item_name(episode),
        position=400,
        played=False,
        now=timezone.now() + timedelta(minutes=1),
    )
    dispatch(order, Origin(device_name="Pixel 9"))
    context.set_offline(False)
    wait_until(page, "!Object.keys(localStorage).some(name => name.startsWith('balados-plays'))")
    assert [position for position, _ in heard_by(alice)[before:]] == [400, 120]
    expect(page.get_by_role("status").get_by_text("On Pixel 9 you are at 6:40 by now.")).to_be_visible()
    page.get_by_role("button", name="Go on at 6:40").click()
    expect_playing(page)
    assert 400 <= place(page) < 410
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()
    assert page.evaluate("Object.keys(localStorage)") == ["balados-volume"]


def test_what_keeps_it_from_playing_is_said_with_the_address_of_the_file(
    page: Page, alice: User, publisher: str
) -> None:
    feed = published(publisher)
    garbage, missing = feed.episodes.get(guid="1-1"), feed.episodes.get(guid="1-2")
    garbage.enclosure_url = f"{publisher}/text.wav"
    garbage.save()
    feed.episodes.filter(guid="1-0").update(extra={"transcript": [{"url": "https://show1.example/said"}]})
    keep("transcript", "https://show1.example/said")
    follow(alice, feed)
    dispatch(heard_elsewhere(alice, feed, 200, minute=0), Origin(device_name="Firefox on Android"))
    dispatch(heard_elsewhere(alice, feed, 90, minute=1), Origin(device_name="Safari on iPhone"))
    bring_up_to_date()
    enter(page)
    messages = page.get_by_role("status")
    for episode, words in (
        (missing, "does not come from its publisher’s server"),
        (garbage, "This browser cannot play this file"),
    ):
        page.get_by_role("link", name=f"Play {episode.title}").click()
        expect(messages.get_by_text(words)).to_be_visible()
        expect(messages.get_by_role("link", name=episode.enclosure_url)).to_be_visible()
    # one of two other devices got further than the server's position: the listener is asked, once
    page.get_by_role("link", name="Play Episode 1-0").click()
    expect(messages.get_by_text("On Firefox on Android you got as far as 3:20.")).to_be_visible()
    page.evaluate(f"() => {{ HTMLAudioElement.prototype.play = async () => {{ {REFUSE} }} }}")
    page.get_by_role("button", name="Go on at 3:20").click()
    expect(messages.get_by_text("Your browser starts sound only when you ask")).to_be_visible()
    assert 199 <= place(page) < 203
    page.evaluate("() => { delete HTMLAudioElement.prototype.play }")
    messages.get_by_role("button", name="Play").click()
    expect_playing(page)
    page.get_by_role("button", name="Speed").click()
    page.get_by_label("Show what is said").check()
    expect(page.locator("#player-caption")).to_have_text("<b>Bold</b>")
    page.keyboard.press("Escape")
    # at the end the next episode starts by itself
    page.locator("#player-place").fill(str(LENGTH - 1))
    expect(messages.get_by_text("This browser cannot play this file")).to_be_visible()
    expect(page.locator("#player-now")).to_contain_text("Episode 1-1")
    assert (LENGTH, True) in heard_by(alice)


def heard_elsewhere(user: User, feed: Feed, position: int, minute: int) -> RecordPlay:
    item = item_name(feed.episodes.get(guid="1-0"))
    at = NOW + timedelta(minutes=minute)
    return RecordPlay(user_id=user.pk, feed=name_of(feed), item=item, position=position, played=False, now=at)
