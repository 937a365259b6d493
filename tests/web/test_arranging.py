"""Playlists and collections in a browser: ordering by mouse, touch and keyboard, and the dialogs."""

import threading

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.playlists import DeletePlaylist
from feeds.models import Episode
from projections import queries
from tests.projecting import bring_up_to_date
from tests.web.browsing import log_in
from tests.web.library import follow, hear, page_of, page_of_episode, show
from tests.web.listing import collection, playlist
from tests.web.test_appearance import TITLES, check

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _prompt_projectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Update the read models at once wherever a page waits for them."""
    lock = threading.Lock()

    def wait_for(projector: str, position: int, seconds: float = 2.0) -> int:
        with lock:
            return bring_up_to_date()

    monkeypatch.setattr(queries, "wait_for", wait_for)


def order_of(page: Page) -> list[str]:
    return page.locator("#members .name").all_inner_texts()


def grip(page: Page, number: int) -> Locator:
    return page.locator("[data-grip]").nth(number)


def drag(page: Page, start: int, end: int) -> None:
    source, target = grip(page, start).bounding_box(), grip(page, end).bounding_box()
    assert source
    assert target
    x, beyond = source["x"] + source["width"] / 2, 20 if end > start else -20
    page.mouse.move(x, source["y"] + source["height"] / 2)
    page.mouse.down()
    page.mouse.move(x, target["y"] + target["height"] / 2 + beyond, steps=8)
    page.mouse.up()


def touch_drag(page: Page, start: int, end: int) -> None:
    """Drag with one finger: Chromium itself turns the touches into pointer events."""
    source, target = grip(page, start).bounding_box(), grip(page, end).bounding_box()
    assert source
    assert target
    x, y = source["x"] + source["width"] / 2, source["y"] + source["height"] / 2
    to = target["y"] + target["height"] / 2 + (20 if end > start else -20)
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        point = {"x": x, "y": y + (to - y) * step / 8}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_playlist_is_put_in_order(page: Page, alice: User) -> None:
    episodes = list(show(1, 4).episodes.order_by("sort_at"))
    made = playlist(alice, *episodes)
    first, second, third, fourth = (f"Episode 1-{number}" for number in range(4))
    page.goto("/users/log_in")
    log_in(page, "Alice")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"/playlists/{made}")
    assert order_of(page) == [first, second, third, fourth]
    drag(page, 0, 2)
    expect(page.locator("#moved")).to_have_text(f"{first} is number 3 now.")
    assert order_of(page) == [second, third, first, fourth]
    page.get_by_role("button", name=f"Move {fourth} up").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#moved")).to_have_text(f"{fourth} is number 3 now.")
    # the keyboard focus stays on the entry that it moves
    page.keyboard.press("Enter")
    expect(page.locator("#moved")).to_have_text(f"{fourth} is number 2 now.")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(grip(page, 0)).to_be_hidden()
    page.get_by_role("link", name="Arrange").click()
    expect(grip(page, 0)).to_be_visible()
    touch_drag(page, 3, 0)
    expect(page.locator("#moved")).to_have_text(f"{first} is number 1 now.")
    page.get_by_role("button", name=f"Remove {third} from the list").click()
    expect(page.locator("#summary")).to_contain_text("3 episodes")
    page.reload()
    assert order_of(page) == [first, second, fourth]
    # an order that could not be saved is not shown as if it were
    page.route("**/arrange", lambda route: route.abort())
    page.set_viewport_size({"width": 1280, "height": 900})
    drag(page, 0, 2)
    expect(page.locator("#members .name").first).to_have_text(first)
    page.unroute("**/arrange")
    dispatch(DeletePlaylist(user_id=alice.pk, now=timezone.now(), playlist_id=made), Origin())
    bring_up_to_date()
    drag(page, 0, 2)
    expect(page.locator("#members .name").first).to_have_text(first)


def test_without_javascript_the_buttons_do_it(plain_page: Page, alice: User) -> None:
    feed = show(1, 3)
    made = playlist(alice, *feed.episodes.order_by("sort_at"))
    plain_page.goto("/users/log_in")
    log_in(plain_page, "Alice")
    plain_page.set_viewport_size({"width": 390, "height": 844})
    plain_page.goto(f"/playlists/{made}")
    plain_page.get_by_role("link", name="Arrange").click()
    expect(grip(plain_page, 0)).to_be_hidden()
    plain_page.get_by_role("button", name="Move Episode 1-2 up").click()
    expect(plain_page.locator("#members .name")).to_have_text(["Episode 1-0", "Episode 1-2", "Episode 1-1"])
    plain_page.goto(page_of_episode(feed.episodes.get(guid="1-0")))
    plain_page.get_by_role("link", name="Add to playlist").click()
    plain_page.get_by_label("Morning").uncheck()
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.get_by_text("Removed from Morning.")).to_be_visible()


def test_the_dialogs(page: Page, alice: User) -> None:
    feed = show(1, 1)
    follow(alice, feed)
    page.goto("/users/log_in")
    log_in(page, "Alice")
    page.goto(page_of_episode(feed.episodes.get()))
    page.get_by_role("link", name="Add to playlist").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New playlist").fill("Walk")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Added to Walk.")).to_be_visible()
    expect(dialog).to_be_hidden()
    page.goto(page_of(feed))
    page.get_by_role("link", name="Collections").click()
    dialog.get_by_label("New collection").fill("x" * 201)
    page.evaluate("document.querySelector('dialog [name=name]').removeAttribute('maxlength')")
    dialog.get_by_label("New collection").fill("x" * 201)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("at most 200 characters")).to_be_visible()
    dialog.get_by_label("New collection").fill("News")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Added to News.")).to_be_visible()


def test_one_is_made_deleted_and_brought_back(page: Page, alice: User) -> None:
    page.goto("/users/log_in")
    log_in(page, "Alice")
    page.goto("/playlists")
    playlist(alice, name="Other")
    page.reload()
    page.get_by_role("link", name="New playlist").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.evaluate("document.querySelector('dialog [name=name]').removeAttribute('maxlength')")
    dialog.get_by_label("Name").fill("x" * 201)
    dialog.get_by_label("Description").fill("In the park")
    dialog.get_by_role("button", name="Save").click()
    # a form with errors is shown as a page of its own
    expect(page.get_by_text("at most 200 characters")).to_be_visible()
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("Description")).to_have_value("In the park")
    page.get_by_label("Name").fill("Walk")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Walk")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").filter(has_text="Walk is deleted.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").filter(has_text="Undone.")).to_be_visible()
    page.get_by_role("link", name="Walk").first.click()
    expect(page.get_by_role("heading", name="Walk")).to_be_visible()
    expect(page.get_by_text("In the park")).to_be_visible()


def test_their_looks(page: Page, alice: User) -> None:
    """Names and titles are long, right-to-left or contain markup, and there are no covers."""
    page.goto("/users/log_in")
    log_in(page, "Alice")
    feeds = [show(number, 3, title=title) for number, title in enumerate(TITLES)]
    follow(alice, *feeds)
    episodes = list(Episode.objects.order_by("feed_id", "sort_at"))
    Episode.objects.update(duration=3_725)
    hear(alice, episodes[1], 754)
    hear(alice, episodes[4], 0, played=True)
    made = playlist(alice, *episodes, name=TITLES[1], is_public=True)
    for title in TITLES:
        playlist(alice, *episodes[:2], name=title)
    group = collection(alice, *feeds, name=TITLES[2], is_public=True)
    addresses = {
        "playlist-arranging": f"/playlists/{made}?arrange=on",
        "playlist-public": f"/u/Alice/playlists/{made}",
        "playlist-choose": page_of_episode(episodes[0]).replace("?", "/playlists?"),
        "collection-edit": f"/collections/{group}/edit",
    }
    for name, address in addresses.items():
        page.goto(address)
        check(page, name)
    addresses |= {
        "playlist": f"/playlists/{made}",
        "playlists": "/playlists",
        "collections": "/collections",
        "collection": f"/collections/{group}",
        "collection-public": f"/u/Alice/collections/{group}",
    }
    User.objects.update(language="fr")
    page.set_viewport_size({"width": 320, "height": 844})
    for name, address in addresses.items():
        page.goto(address)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), f"{name} in French"
