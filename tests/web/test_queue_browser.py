"""Up next in a real browser: when an episode ends, the next one plays, and the ended one leaves the list."""

import time
from collections.abc import Iterator
from threading import Lock

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from eventstore.domain.playlists import queue_id
from feeds.models import Feed
from projections import lists, queries
from tests.projecting import bring_up_to_date
from tests.web.browsing import complaints, log_in
from tests.web.library import follow, show
from tests.web.serving import audio_files, silence
from tests.web.test_appearance import LONG_NAME, check

pytestmark = pytest.mark.browser

LENGTH = 90
PROJECTING = Lock()
ARABIC = "بودكاست الراديو البطيء"


@pytest.fixture(autouse=True)
def _projects_when_a_page_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Project where a page would wait for a projector, since none runs in these tests."""
    monkeypatch.setattr(queries, "wait_for", lambda *_: project())


def project() -> None:
    """Bring the read models up to date, one thread at a time: pages are answered in threads."""
    with PROJECTING:
        bring_up_to_date()


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = show(1, 4)
    names = ("Zero", ARABIC, f"{LONG_NAME}, {LONG_NAME}", "<b>Bold</b> & Brave")
    with audio_files({f"/{number}.wav": silence(LENGTH) for number in range(4)}) as publisher:
        for number, episode in enumerate(feed.episodes.order_by("sort_at")):
            episode.enclosure_url, episode.duration = f"{publisher}/{number}.wav", LENGTH
            episode.title = names[number]
            episode.save()
        yield feed


def in_queue(user: User) -> list[str | None]:
    project()
    return [row.item_title for row in lists.PLAYLISTS.members(user.pk, queue_id(user.pk)).rows]


def expect_queued(user: User, *titles: str) -> None:
    """Wait until exactly these episodes are in the queue."""
    deadline = time.monotonic() + 60
    while in_queue(user) != list(titles) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert in_queue(user) == list(titles)


def choose(page: Page, title: str, what: str) -> None:
    page.get_by_role("link", name=f"{title}: play next").first.click()
    page.get_by_role("dialog").get_by_role("button", name=what).click()
    expect(page.get_by_role("dialog")).not_to_be_visible()


def end(page: Page) -> None:
    page.locator("#player-place").fill(str(LENGTH - 1))


def test_what_ends_is_followed_by_what_waits(page: Page, alice: User, feed: Feed) -> None:
    follow(alice, feed)
    problems = complaints(page)
    page.goto("/users/log_in?next=/queue")
    log_in(page, "Alice")
    page.goto("/")
    choose(page, "Zero", "Add to Up next")
    choose(page, ARABIC, "Add to Up next")
    assert in_queue(alice) == ["Zero", ARABIC]
    page.goto("/queue")
    page.get_by_role("link", name="Play Zero").click()
    then = page.locator("#player-then")
    expect(then).to_contain_text(ARABIC)
    # another episode is put before it with the menu, and then skipped
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Home").click()
    choose(page, "<b>Bold</b> & Brave", "Play next")
    expect(then).to_contain_text("<b>Bold</b> & Brave")
    page.get_by_role("button", name="Speed").click()
    page.get_by_role("button", name="Not this one").click()
    expect(then).to_contain_text(ARABIC)
    check(page, "queue-player")
    page.keyboard.press("Escape")
    assert len(in_queue(alice)) == 3
    end(page)
    expect(page.locator("#player-now")).to_contain_text(ARABIC)
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert in_queue(alice) == ["<b>Bold</b> & Brave", ARABIC]
    page.goto("/queue")
    expect(page.locator(".member")).to_have_count(2)
    expect(page.locator("#player-now")).to_contain_text(ARABIC)
    check(page, "queue")
    page.get_by_role("button", name="Clear all").click()
    expect(page.get_by_text("Up next is empty now.")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.locator(".member")).to_have_count(2)
    assert in_queue(alice) == ["<b>Bold</b> & Brave", ARABIC]
    # when set to stop at the end of an episode, it stops, also after a reload
    page.get_by_role("button", name="Speed").click()
    page.get_by_label("After the end").select_option(label="Stop")
    page.evaluate("document.getElementById('player-audio').pause()")
    page.reload()
    page.locator("#player-toggle[aria-label=Play]").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    end(page)
    expect(page.get_by_text("That was the end of it.")).to_be_visible()
    expect(page.locator("#player-now")).to_contain_text(ARABIC)
    expect_queued(alice, "<b>Bold</b> & Brave")
    assert problems == []
