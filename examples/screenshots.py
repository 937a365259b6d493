"""``make screenshots`` takes the pictures of the README on a temporary server.

A listener follows the invented podcasts of ``shows.py`` and has begun some episodes; Chromium opens her pages
in light and dark. Needs Playwright, Pillow and Chromium (CHROMIUM names another program).
"""

import os
import re
import secrets
import shutil
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, sync_playwright

from examples import shows
from examples.__main__ import free_port, own_server
from examples.two_devices import App, Browser, Device, Json, feed, url_safe

PICTURES: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"
LARGEST: Final = 150_000  # bytes of a picture
NAME: Final = "Ines"
SCHEMES: Final = ("light", "dark")
SECONDS_TO_WAIT = 60.0
# how far she has listened: the number of the show, the number of the episode, minutes
HEARD: Final = ((0, 0, 31), (1, 1, 12), (7, 1, 40), (3, 2, 5))
PLAYED: Final = ((0, 2), (0, 3), (2, 1), (2, 2), (4, 2), (4, 3), (5, 3), (6, 2))

KINDS_OF_COVERS: Final = """
Promise.all([...document.images].filter(image => image.src.includes("/covers/")).map(
    image => fetch(image.currentSrc || image.src).then(answer => answer.headers.get("Content-Type"))))
"""

# covers within the picture; others are loaded only when somebody scrolls to them or opens what hides them
COVERS_ARE_THERE: Final = """
[...document.images].every(image => !image.checkVisibility()
    || image.getBoundingClientRect().top > innerHeight
    || image.complete && image.naturalWidth > 0)
"""


def main() -> int:
    token, password, port = secrets.token_urlsafe(16), secrets.token_urlsafe(16), free_port()
    with shows.served(port) as feeds, own_server(token, port) as server:
        Browser(server).sign_up("olivia", secrets.token_urlsafe(16), token)
        listen(server, feeds, password)
        with sync_playwright() as playwright:
            path = shutil.which(os.environ.get("CHROMIUM") or "chromium")
            root = ["--no-sandbox"] if os.geteuid() == 0 else []
            chromium = playwright.chromium.launch(executable_path=path, args=root)
            take_all(chromium, server, password)
            chromium.close()
    return 0


def listen(server: str, feeds: list[str], password: str) -> None:
    """Register the listener, authorize an app, and record through it what she has done so far."""
    browser = Browser(server)
    browser.sign_up(NAME, password)
    app = App("org.example.screenshots", "AntennaPod")
    phone = Device(server, app, browser.authorize(app), "Phone")
    for url in feeds:
        phone.call("POST", "/api/v1/subscriptions", {"feed_url": url})
    names = [feed(url) for url in feeds]
    episodes = [wait_for(phone, name) for name in names]
    for show, number, minutes in reversed(HEARD):
        play(phone, episodes[show][number], names[show], minutes * 60, played=False)
    for show, number in PLAYED:
        play(phone, episodes[show][number], names[show], shows.SHOWS[show].minutes * 60, played=True)


def play(phone: Device, episode: Json, name: str, position: int, *, played: bool) -> None:
    body = {"rss_source_feed": name, "rss_source_item": episode["rss_source_item"]}
    phone.call("POST", "/api/v1/plays", {**body, "position": position, "played": played})


def wait_for(phone: Device, name: str) -> list[Json]:
    """Return the episodes of a feed once it has been fetched, the newest first."""
    path, deadline = f"/api/v1/subscriptions/{url_safe(name)}/episodes", time.monotonic() + SECONDS_TO_WAIT
    while not (found := phone.call("GET", path)["episodes"]):
        if time.monotonic() > deadline:
            raise SystemExit(f"The feed was not fetched: {path}")
        time.sleep(0.3)
    return list(found)


def take_all(chromium: Chromium, server: str, password: str) -> None:
    """Take the home page on a desktop and the list of podcasts on a phone, each in both colour schemes."""
    for name, (width, height), scale in (("desktop", (1280, 860), 1), ("phone", (390, 844), 2)):
        for scheme in SCHEMES:
            context = chromium.new_context(
                base_url=server,
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
                locale="en-GB",
                device_scale_factor=scale,
            )
            page = context.new_page()
            log_in(page, password)
            begin(page)
            if name == "phone":
                page.get_by_role("link", name="Podcasts", exact=True).click()
                page.wait_for_url("**/subscriptions")
            while not page.evaluate(COVERS_ARE_THERE):
                page.wait_for_timeout(100)
            keep(page.screenshot(), f"{name}-{scheme}.webp")
            context.close()


def log_in(page: Page, password: str) -> None:
    page.goto("/users/log_in")
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
    wait_for_covers(page)


def begin(page: Page) -> None:
    """Play the first episode, so that the player is in the picture, and pause it."""
    page.get_by_role("main").get_by_role("link", name=re.compile("^Play .")).first.click()
    page.get_by_role("button", name="Pause").click()


def wait_for_covers(page: Page) -> None:
    """Wait until covers are shown: they are fetched when first asked for, and initials are drawn until
    then."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    for path in ("/subscriptions", "/"):
        page.goto(path)
        while "image/svg+xml" in page.evaluate(KINDS_OF_COVERS) and time.monotonic() < deadline:
            time.sleep(1)
            page.reload()


def keep(picture: bytes, name: str) -> None:
    """Save a picture as WebP, in the best quality that stays below ``LARGEST``."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    image = Image.open(BytesIO(picture)).convert("RGB")
    for quality in (90, 82, 74, 66, 58):
        file = BytesIO()
        image.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= LARGEST:
            break
    (PICTURES / name).write_bytes(file.getvalue())
    print(f"{PICTURES / name}: {image.width} x {image.height}, {file.tell():,} bytes, quality {quality}")


if __name__ == "__main__":
    sys.exit(main())
