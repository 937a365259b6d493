"""A podcast's way from its feed to a listener's app: served from this machine, followed, fetched, shown.

    make demo                                   its second half
    python examples/real_feed.py http://localhost:8000

It needs PyJWT and requests, nothing of the server's own code. A server fetches from this machine only if
FEED_ALLOW_NETWORKS allows it, as it does for the server that ``make demo`` starts. With any other server, the
demo reports that the address is refused, which is as it should be.
"""

import argparse
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

try:
    from examples.two_devices import App, Browser, Device, Json, url_safe
except ImportError:  # when run as a script
    from two_devices import App, Browser, Device, Json, url_safe  # type: ignore[no-redef,import-not-found]

EPISODES = ("How it began", "What came next", "Where it leads")
SECONDS_TO_WAIT = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A podcast, from its feed to a listener's app.")
    parser.add_argument("server", nargs="?", default="http://localhost:8000")
    parser.add_argument("--feed-port", type=int, default=0, help="where the feed is served; 0: any free port")
    options = parser.parse_args(arguments)

    with served(options.feed_port) as url:
        print(f"1. A publisher serves a feed at {url}")
        phone = listener(options.server)
        print("2. A listener follows it, and the server fetches it by itself")
        phone.call("POST", "/api/v1/subscriptions", {"feed_url": url})
        name = phone.call("GET", "/api/v1/subscriptions")["subscriptions"][0]["rss_source_feed"]
        podcast = wait_for(phone, f"/api/v1/subscriptions/{url_safe(name)}/metadata")
        if podcast["error"] is not None and podcast["error"]["code"] == "refused":
            print(f"   {podcast['error']['detail']} This machine is none that it may ask")
            print("   (FEED_ALLOW_NETWORKS and FEED_PORTS): so nobody reaches its own network by a feed.")
            return 0
        if podcast["title"] is None:
            print(f"   THE FEED WAS NOT READ: {podcast['state_text']}")
            return 1
        print(f"3. The app shows it: {podcast['title']}, by {podcast['author']}")
        return show_episodes(phone, name)


def show_episodes(phone: Device, name: str) -> int:
    path = f"/api/v1/subscriptions/{url_safe(name)}/episodes"
    episodes = phone.call("GET", path)["episodes"]
    for episode in episodes:
        print(f"   {episode['published_at'][:10]}  {episode['title']:20} {episode['duration']:5} s")
    return 0 if [episode["title"] for episode in episodes] == [*reversed(EPISODES)] else 1


def listener(server: str) -> Device:
    """Register a new listener who authorizes an app; returns the listener's phone."""
    browser, username = Browser(server), f"demo-{secrets.token_hex(4)}"
    browser.sign_up(username, secrets.token_urlsafe(16))
    app = App("org.example.real-feed." + secrets.token_hex(4), "Real feed")
    return Device(server, app, browser.authorize(app), "phone")


def wait_for(phone: Device, path: str) -> Json:
    """Return the metadata of the feed once it has been fetched. The demo has to poll, because no read waits
    for a publisher."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while True:
        found = phone.call("GET", path)
        if found["fetched_at"] is not None or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


@contextmanager
def served(port: int) -> Iterator[str]:
    """Serve a feed at 127.0.0.1; yields its URL."""

    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = document().encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/rss+xml; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing: the demo itself says what happens."""

    with ThreadingHTTPServer(("127.0.0.1", port), Publisher) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/feed.xml"
        finally:
            server.shutdown()


def document() -> str:
    now = datetime.now(UTC)
    items = "".join(
        f"<item><title>{title}</title><guid>episode-{number}</guid>"
        f'<enclosure url="https://example.org/{number}.mp3" type="audio/mpeg" length="1"/>'
        f"<pubDate>{format_datetime(now - timedelta(days=7 * (len(EPISODES) - number)))}</pubDate>"
        f"<itunes:duration>{20 + number}:00</itunes:duration></item>"
        for number, title in enumerate(EPISODES)
    )
    return (
        '<?xml version="1.0"?>'
        '<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd">'
        "<channel><title>The Demo Show</title><itunes:author>Ada Example</itunes:author>"
        f"<link>https://example.org/</link><description>For the demo.</description>{items}</channel></rss>"
    )


if __name__ == "__main__":
    sys.exit(main())
