"""Two devices of one listener, kept in step through the public API. Read this first if you write an app.

    make demo                                   on the server that `make run` started, or on one of its own
    python examples/two_devices.py https://balados.example

It needs PyJWT, requests and websockets, nothing of the server's own code. It

  1. makes the app's key pair; the server only ever sees the public half,
  2. is authorized by a listener on the server's pages, as a browser would do it,
  3. plays out a phone and a tablet: subscribe, listen, go offline, listen elsewhere, sync late,
  4. opens a live connection, on which the phone is told at once what the tablet does,
  5. prints what each device sees, and ends with exit code 1 if they differ or anything was lost.
"""

import argparse
import base64
import html
import json
import os
import re
import secrets
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import jwt
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.sync.client import ClientConnection, connect

# nothing needs to listen here: we read the address to which the browser is redirected
REDIRECT_URI = "http://127.0.0.1:9/authorized"
SCOPES = ["user.subscriptions", "user.plays", "user.sync"]

Json = dict[str, Any]


class App:
    """A podcast app: its name and its key pair. All devices may share one pair, or each have its own."""

    def __init__(self, app_id: str, name: str) -> None:
        self.app_id, self.name = app_id, name
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def authorization_token(self, state: str) -> str:
        """Return the token that the listener's browser takes to /authorize: it says who we are and what we
        ask for."""
        public_key = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        now = int(time.time())
        claims: Json = {
            "iss": self.app_id,
            "app": {
                "name": self.name,
                "url": "https://example.org/",
                "public_key": public_key.decode(),
                "redirect_uri": REDIRECT_URI,
            },
            "scopes": SCOPES,
            "state": state,
            "iat": now,
            "exp": now + 600,
        }
        return jwt.encode(claims, self.key, algorithm="RS256")

    def request_token(self, user_id: str, device_id: str, device_name: str) -> str:
        """Return the token that every request carries. It may be valid for an hour at most; making one costs
        a millisecond."""
        now = int(time.time())
        claims: Json = {"iss": self.app_id, "sub": user_id, "iat": now, "exp": now + 300}
        claims |= {"device_id": device_id, "device_name": device_name}
        return jwt.encode(claims, self.key, algorithm="RS256")


class Browser:
    """As much of a browser as the server's pages need: cookies, and forms with their CSRF field."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.session = requests.Session()

    def submit(self, path: str, **fields: str) -> requests.Response:
        """Open a page and submit its form; redirects are not followed."""
        page = self.session.get(urljoin(self.server, path), timeout=10)
        if path == "/users/register" and page.url.endswith("/setup"):
            raise SystemExit(
                "This server has no administrator yet: open the link that it printed, then try again."
            )
        field = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if page.status_code != 200 or field is None:
            raise SystemExit(f"{path} answered {page.status_code} and no form: is the server set up?")
        data = {**fields, "csrfmiddlewaretoken": field[1]}
        headers = {"Referer": page.url}
        return self.session.post(page.url, data=data, headers=headers, allow_redirects=False, timeout=10)

    def needs_setup(self) -> bool:
        """Whether the server has no administrator yet, in which case nobody can register."""
        return self.session.get(urljoin(self.server, "/users/register"), timeout=10).url.endswith("/setup")

    def sign_up(self, username: str, password: str, setup_token: str = "") -> None:
        """Register a listener. With the set-up token of a new server, this is the first administrator, who is
        a listener too."""
        path, fields = "/users/register", {"username": username, "email": f"{username}@example.org"}
        if setup_token and self.needs_setup():
            path, fields["token"] = f"/setup?token={setup_token}", setup_token
        answer = self.submit(path, **fields, password1=password, password2=password)
        if answer.status_code != 302:
            raise SystemExit(f"could not register: {re.sub('<[^>]+>', ' ', answer.text)[:2000]}")

    def log_in(self, username: str, password: str) -> None:
        if self.submit("/users/log_in", username=username, password=password).status_code != 302:
            raise SystemExit("could not log in")

    def authorize(self, app: App) -> str:
        """Approve the app. Returns the user's id, which the redirect contains."""
        state = secrets.token_urlsafe(16)
        token = app.authorization_token(state)
        answer = self.submit(f"/authorize?token={token}", token=token, decision="approve")
        came_back = {key: values[0] for key, values in parse_qs(urlsplit(_target(answer)).query).items()}
        # the answer to somebody else's request must not be taken for ours
        assert came_back["state"] == state, came_back
        return came_back["user_id"]


class Device:
    """One device: its data, what it did while offline, and its cursor in the server's history."""

    def __init__(self, server: str, app: App, user_id: str, name: str) -> None:
        self.server, self.app, self.user_id, self.name = server, app, user_id, name
        self.device_id = str(uuid.uuid4())
        self.cursor: str | None = None
        self.position = ""
        self.subscriptions: dict[str, Json] = {}
        self.play_statuses: dict[str, Json] = {}
        self.offline: Json = {"subscriptions": [], "play_statuses": []}

    def call(self, method: str, path: str, body: Json | None = None, *, key: str | None = None) -> Json:
        """Send one request. Sending the position of your last write along lets you read your own writes."""
        token = self.app.request_token(self.user_id, self.device_id, self.name)
        headers = {"Authorization": f"Bearer {token}"}
        if method != "GET":
            # makes it safe to repeat a request whose answer was lost: the first answer is sent again, and
            # nothing is recorded twice
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        elif self.position:
            headers["Balados-Position"] = self.position
        answer = requests.request(method, urljoin(self.server, path), json=body, headers=headers, timeout=30)
        if answer.status_code >= 400:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        if method != "GET":
            self.position = answer.headers["Balados-Position"]
        document: Json = answer.json()
        return document

    def sync(self) -> list[Json]:
        """Send what was done offline, and take over what other devices did. Returns our entries that lost a
        conflict."""
        sent = {"cursor": self.cursor, **self.offline}
        answer = self.call("POST", "/api/v1/sync", sent)
        if answer["full"]:
            self.subscriptions, self.play_statuses = {}, {}
        for entry in answer["data"]["subscriptions"]:
            self.subscriptions[entry["rss_source_feed"]] = entry
        for entry in answer["data"]["play_statuses"]:
            self.play_statuses[entry["rss_source_item"]] = entry
        self.cursor = answer["cursor"]
        self.offline = {"subscriptions": [], "play_statuses": []}
        conflicts: list[Json] = answer["conflicts"]
        return conflicts

    def join(self, live: ClientConnection) -> None:
        """Authenticate on a live connection, which then also sends what happened since the last sync."""
        token = self.app.request_token(self.user_id, self.device_id, self.name)
        live.send(json.dumps({"type": "auth", "token": token, "cursor": self.cursor}))
        answer = json.loads(live.recv(timeout=10))
        if answer["type"] != "ready":
            raise SystemExit(f"live: {answer}")

    def hear(self, live: ClientConnection) -> None:
        """Wait for the next changes by other devices. Their entries have the format of a sync."""
        push = json.loads(live.recv(timeout=10))
        for entry in push["data"].get("play_statuses", ()):
            self.play_statuses[entry["rss_source_item"]] = entry
        self.cursor = push["cursor"]

    def show(self) -> None:
        print(f"   the {self.name} sees")
        for feed, entry in sorted(self.subscriptions.items()):
            print(f"      follows  {text_of(feed):42} since {entry['subscribed_at'][:16]}")
        for item, entry in sorted(self.play_statuses.items()):
            print(f"      episode  {text_of(item).split(',')[0]:42} at {entry['position']:5} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Two devices of one listener, kept in step.")
    parser.add_argument("server", nargs="?", default="http://localhost:8000")
    parser.add_argument("--username", help="an existing listener; without it one is registered")
    parser.add_argument("--password", default=secrets.token_urlsafe(16))
    parser.add_argument("--setup-token", default=os.environ.get("SETUP_TOKEN", ""), help="of a new server")
    options = parser.parse_args(arguments)

    now = datetime.now(UTC)
    news, science = feed("https://example.org/news.xml"), feed("https://example.org/science.xml")
    monday, tuesday = (
        item("monday", "https://example.org/1.mp3"),
        item("tuesday", "https://example.org/2.mp3"),
    )

    print("1. A listener authorizes the app")
    browser = Browser(options.server)
    username = options.username or f"demo-{secrets.token_hex(4)}"
    if options.username:
        browser.log_in(username, options.password)
    else:
        browser.sign_up(username, options.password, options.setup_token)
    app = App("org.example.two-devices." + secrets.token_hex(4), "Two devices")
    user_id = browser.authorize(app)
    phone = Device(options.server, app, user_id, "phone")
    tablet = Device(options.server, app, user_id, "tablet")
    print(f"   {phone.call('GET', '/api/v1/me')['username']} said yes to {', '.join(SCOPES)}")

    print("2. The phone subscribes and listens; it reads its own writes at once")
    phone.call("POST", "/api/v1/subscriptions", {"rss_source_feed": news})
    play = {"rss_source_feed": news, "rss_source_item": monday, "position": 60, "played": False}
    phone.call("POST", "/api/v1/plays", play)
    heard = phone.call("GET", "/api/v1/plays")["play_statuses"]
    assert [entry["position"] for entry in heard] == [60], heard

    print("3. The tablet is new: its first sync brings everything")
    tablet.sync()
    tablet.show()

    print("4. The phone goes offline, follows another feed and hears both episodes further")
    phone.sync()
    yesterday = now - timedelta(days=1)
    phone.offline["subscriptions"].append(subscription(science, yesterday))
    phone.offline["play_statuses"].append(status(news, monday, 300, yesterday))
    phone.offline["play_statuses"].append(status(news, tuesday, 45, yesterday))

    print("5. Meanwhile the tablet goes on with Monday's episode, and syncs")
    tablet.call("PUT", f"/api/v1/plays/{url_safe(monday)}/position", {"position": 1200})
    tablet.sync()
    tablet.show()

    print("6. The phone comes back, a day late")
    conflicts = phone.sync()
    for conflict in conflicts:
        mine, theirs = conflict["client"]["position"], conflict["server"]["position"]
        print(f"   its {mine} s of Monday gave way to the tablet's {theirs} s: {conflict['rule']}")
    phone.show()

    print("7. The tablet syncs from its cursor: what the phone did yesterday reaches it today")
    tablet.sync()
    tablet.show()

    print("8. On live connections the phone is told at once what the tablet plays")
    expected = {monday: 1200, tuesday: 45}
    if follow_live(phone, tablet, {**play, "rss_source_item": tuesday, "position": 90}):
        expected[tuesday] = 90
        phone.show()
    same = phone.subscriptions == tablet.subscriptions and phone.play_statuses == tablet.play_statuses
    complete = {key: entry["position"] for key, entry in tablet.play_statuses.items()} == expected
    complete = complete and set(tablet.subscriptions) == {news, science} and len(conflicts) == 1
    print("Both devices agree and nothing was lost." if same and complete else "THE DEVICES DIFFER.")
    return 0 if same and complete else 1


def follow_live(phone: Device, tablet: Device, play: Json) -> bool:
    """Connect both devices; the tablet sends a play, and the phone is told of it. Returns False if the server
    has no live connections."""
    found = requests.get(urljoin(phone.server, "/api/v1/live"), timeout=30)
    if found.status_code == 404:
        print("   This server has no live connections.")
        return False
    address = found.json()["url"]
    with connect(address) as mine, connect(address) as theirs:
        phone.join(mine)
        tablet.join(theirs)
        began = time.monotonic()
        # The fields are the same as by HTTP. If the command is repeated after a broken connection, it counts
        # once.
        theirs.send(json.dumps({"type": "record_play", "id": str(uuid.uuid4()), **play}))
        answer = json.loads(theirs.recv(timeout=10))
        assert answer["type"] == "ack", answer
        phone.hear(mine)
        print(f"   it hears of {play['position']} s after {1000 * (time.monotonic() - began):.0f} ms")
    tablet.sync()  # a device is not told of its own changes
    return True


def feed(url: str) -> str:
    """Return the API's name of a feed: base64 of its URL."""
    return base64.b64encode(url.encode()).decode()


def item(guid: str, enclosure_url: str) -> str:
    """Return the API's name of an episode: base64 of its GUID, a comma and its enclosure's URL."""
    return base64.b64encode(f"{guid},{enclosure_url}".encode()).decode()


def url_safe(name: str) -> str:
    """Return the same name in the form used in paths."""
    return name.replace("+", "-").replace("/", "_").rstrip("=")


def text_of(name: str) -> str:
    return base64.b64decode(name).decode()


def subscription(rss_source_feed: str, at: datetime) -> Json:
    times = {"subscribed_at": at.isoformat(), "unsubscribed_at": None}
    return {"rss_source_feed": rss_source_feed, "rss_source_id": None, **times}


def status(rss_source_feed: str, rss_source_item: str, position: int, at: datetime) -> Json:
    names = {"rss_source_feed": rss_source_feed, "rss_source_item": rss_source_item}
    return {**names, "position": position, "played": False, "updated_at": at.isoformat()}


def _target(answer: requests.Response) -> str:
    """Return where the browser is sent back to: by a redirect, or by a link on the page."""
    if answer.status_code == 302:
        return answer.headers["Location"]
    link = re.search(rf'href="({re.escape(REDIRECT_URI)}[^"]*)"', answer.text)
    if link is None:
        raise SystemExit(f"/authorize answered {answer.status_code} and no way back")
    return html.unescape(link[1])


if __name__ == "__main__":
    sys.exit(main())
