"""How newcomers find a podcast; nothing that its publisher writes is run, loads anything or breaks a page."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.fixtures import Settings

from accounts.models import User
from feeds import lookups
from feeds.models import Episode, Feed
from jobs import documents
from jobs.feeds import fetch_now
from tests.factories import UserFactory
from tests.feeds.origin import Origin, allowed, answer
from tests.projecting import bring_up_to_date
from tests.web.browsing import complaints, fill_account, log_in
from tests.web.library import follow, hear, page_of, page_of_episode, show
from tests.web.serving import audio_files, silence
from tests.web.test_adding import RSS, site, url
from tests.web.test_discovery import count_popularity, share
from tests.web.test_player import expect_playing, place, wait_until

pytestmark = pytest.mark.browser

MARKUP = """<script>window.hacked = 1; alert(1)</script><style>body, main * { display: none }</style>
<svg onload="alert(1)"><script>alert(1)</script></svg><img src="https://x.example/" onerror="alert(1)">
<iframe src="https://x.example/"></iframe><a href="javascript:alert(1)" style="top: 0">\u202ereversed</a>
<base href="https://x.example/"><form action="https://x.example/"><input autofocus onfocus="alert(1)">
&nbsp;&bogus;&#0;&#xD800;&lt;b&gt; <a href="&#106;avascript:alert(1)">x</a></div></main></body></html>"""
TITLE = f"Radio \u202e{MARKUP[:200]}" + "wide" * 60


@pytest.fixture
def origin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    """Run a site on loopback, with a worker that looks there 0.2 seconds after it was asked."""

    def soon(args: Any, **_: Any) -> None:
        threading.Timer(0.2, documents.look, args).start()

    monkeypatch.setattr(lookups, "resolve", lambda host: ("127.0.0.1",))
    monkeypatch.setattr(documents.look, "apply_async", soon)
    monkeypatch.setattr(fetch_now, "delay", lambda feed_id: fetch_now(feed_id))
    with Origin() as running, allowed(settings, running):
        yield running


@pytest.mark.parametrize("kind", ["page", "plain_page"])
def test_a_newcomer_adds_a_podcast_by_the_address_of_its_site(
    request: pytest.FixtureRequest, kind: str, operator: User, origin: Origin
) -> None:
    origin.on("/feed.xml", answer(RSS))
    follow_by_its_site(request.getfixturevalue(kind), origin)


def test_a_newcomer_goes_on_where_another_browser_was_closed(
    page: Page, chromium: Browser, server: str, operator: User, origin: Origin
) -> None:
    with audio_files({"/1.wav": silence(600)}) as publisher:
        feed = RSS.replace(b"https://audio.example/1.mp3", f"{publisher}/1.wav".encode())
        origin.on("/feed.xml", answer(feed))
        follow_by_its_site(page, origin)
        page.get_by_role("link", name="Play The last ferry").click()
        expect_playing(page)
        page.locator("#player-place").fill("300")
        wait_until(page, "document.getElementById('player-audio').currentTime > 301")
        ended = place(page)
        page.close()
        bring_up_to_date()
        other = chromium.new_context(base_url=server).new_page()
        other.goto("/users/log_in")
        log_in(other, "Alice")
        other.get_by_role("link", name="Play The last ferry").click()
        expect_playing(other)
        assert abs(place(other) - ended) < 15
        other.context.close()


def test_a_list_on_its_way_has_a_bar(page: Page, alice: User) -> None:
    page.goto("/users/log_in?next=/subscriptions/new")
    log_in(page, "Alice")
    bar = page.get_by_role("progressbar", name="Your podcasts are being taken in")
    expect(bar).to_be_hidden()
    held: list[Route] = []
    page.route("**/subscriptions/import", lambda route: held.append(route))
    rows = '<outline type="rss" text="One" xmlUrl="https://show1.example/feed.xml"/>'
    opml = f"<opml><body>{rows}</body></opml>".encode()
    page.get_by_label("File with a list of podcasts").set_input_files(
        {"name": "my.opml", "mimeType": "text/xml", "buffer": opml}
    )
    page.get_by_role("button", name="Follow all of them").click(no_wait_after=True)
    expect(bar).to_be_visible()
    held[0].continue_()
    expect(page.get_by_text("Your podcasts are here")).to_be_visible()


def follow_by_its_site(page: Page, origin: Origin) -> None:
    """Register, and follow the podcast of a site by the site's address; ends on the first page."""
    origin.on("/", answer(site("/feed.xml"), content_type="text/html"))
    page.goto("/users/register")
    fill_account(page, "Alice")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    page.get_by_label("Address or words").fill(url(origin, "/"))
    page.get_by_role("button", name="Look for it").click()
    expect(page.get_by_text("Looking there.")).to_be_visible()
    # without any action: the page asks again every second, or without JavaScript every three seconds
    expect(page.get_by_role("heading", name="Slow Radio")).to_be_visible()
    expect(page.get_by_text("The last ferry")).to_be_visible()
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("status")).to_contain_text("You follow Slow Radio.")
    bring_up_to_date()
    page.goto("/")
    expect(page.get_by_role("link", name="The last ferry", exact=True)).to_be_visible()


def hostile_library(alice: User) -> tuple[Feed, Episode]:
    """A podcast whose texts are all hostile, followed, started and popular."""
    fields = {"author": TITLE, "copyright": TITLE, "categories": [TITLE], "description": MARKUP * 1_000}
    feed = show(1, 3, title=TITLE, **fields)
    feed.extra = {"person": [{"text": TITLE}], "funding": [{"url": "javascript:alert(1)", "text": TITLE}]}
    feed.link = "javascript:alert(1)"
    feed.save()
    feed.episodes.update(title=TITLE, description=MARKUP * 1_000, link="javascript:alert(1)")
    episode = feed.episodes.get(guid="1-0")
    episode.extra = {"pscChapters": [{"chapter": [{"start": "0", "title": TITLE}]}]}
    episode.save()
    bob = UserFactory.create(username="Bob")
    for user in (alice, bob):
        share(user)
        follow(user, feed)
        hear(user, episode, 300)
    count_popularity()
    return feed, episode


def test_a_hostile_feed_is_text_on_every_page(page: Page, alice: User) -> None:
    feed, episode = hostile_library(alice)
    problems = complaints(page)
    dialogs: list[str] = []
    requested: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.on("request", lambda request: requested.append(request.url))
    page.goto("/users/log_in")
    log_in(page, "Alice")
    own = page.url.rstrip("/")
    addresses = {
        "home": "/",
        "podcasts": "/subscriptions",
        "podcast": page_of(feed),
        "episode": page_of_episode(episode),
        "search": "/search?q=radio",
        "new": f"/subscriptions/new?q={feed.url}",
        "trending": "/trending/podcasts",
        "episodes": "/trending/episodes",
        "timeline": "/timeline",
    }
    page.set_viewport_size({"width": 320, "height": 700})
    for name, address in addresses.items():
        page.goto(address)
        assert "window.hacked" in page.locator("main").inner_text(), f"{name} does not show it"
        assert page.evaluate("window.hacked") is None, name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        expect(page.locator("nav.for-listeners")).to_be_visible()
        assert page.locator(FOREIGN).count() == 0, f"{name} takes markup over"
        assert page.evaluate(LOOSE) == [], f"{name} lets a text turn others round"
    assert [each for each in requested if not each.startswith(own)] == []
    assert (dialogs, problems) == ([], [])


# elements and attributes that no text of a publisher may bring into a page
FOREIGN = """main script, main style, main svg:not(.icon, .ring svg), main iframe, main base, main [style],
    main [onload], main [onfocus], main img[src^='http'], [href^='javascript:' i]"""
# texts with characters that change the direction, in an element that does not isolate them
LOOSE = """() => {
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.data.includes("\\u202e") || text.parentElement.closest("bdi, [dir=auto], noscript")) continue;
    found.push(text.parentElement.outerHTML.slice(0, 80));
  }
  return found;
}"""
