"""Podcast apps that do not know Balados, on one account of an instance, each as strict as the real one."""

import html
import random
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest

from examples.two_devices import App, Browser, Device, text_of
from tests.e2e.instances import PASSWORD, Instance
from tests.gpodder.antennapod import AntennaPod, NextcloudAntennaPod
from tests.gpodder.desktop import GPodder, RealGPodder, is_installed
from tests.gpodder.kasts import Kasts
from tests.gpodder.player import Episode, Heard, Player

# two are spelt so that some apps decode them to other addresses
FEEDS = [
    "https://shows.example/a%20show.xml",
    *(f"https://shows.example/{n}.xml" for n in range(1, 4)),
    "https://shows.example/feed?url=https%3A%2F%2Fother.example%2F1.xml",
    *(f"https://shows.example/{n}.xml" for n in range(5, 28)),
]
EPISODES = [
    Episode(feed, f"guid-{number}-{place}", f"https://shows.example/{number}/{place}.mp3", 1_800)
    for number, feed in enumerate(FEEDS[:4])
    for place in range(3)
]
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
STEPS = 60


class Account:
    """A listener with a browser, and an app of our own that knows our API."""

    def __init__(self, instance: Instance, name: str) -> None:
        self.url, self.name = instance.url, name
        self.browser = Browser(self.url)
        self.browser.sign_up(name, PASSWORD)
        app = App(f"org.example.{name}", "Castaway")
        self.own = Device(self.url, app, self.browser.authorize(app), "own")

    def password(self) -> str:
        """Create an app password on its page, and return it."""
        answer = self.browser.submit("/apps/passwords/new", name="", request=str(uuid.uuid4()))
        found = re.search(r'<input id="password" type="text" readonly value="([^"]*)"', answer.text)
        assert found, answer.status_code
        return html.unescape(found[1])

    def player(self, kind: type[Player], device: str) -> Player:
        return kind(self.url, self.name, self.password(), device, EPISODES)

    def let_in(self, address: str) -> None:
        """Open the address that an app opens in the browser, and authorize the app."""
        answer = self.browser.submit(address.removeprefix(self.url), decision="grant")
        assert answer.status_code in (200, 302), answer.text[:2000]

    def decide_held(self, device: str, decision: str) -> None:
        """Answer the question whether so many podcasts are to be unfollowed."""
        page = self.browser.session.get(urljoin(self.url, "/subscriptions"), timeout=60)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token
        assert "/subscriptions/held" in page.text
        data = {"csrfmiddlewaretoken": token[1], "device": device, "decision": decision}
        answer = self.browser.session.post(
            urljoin(self.url, "/subscriptions/held"), data, headers={"Referer": page.url}, timeout=60
        )
        assert answer.status_code == 200

    def state(self) -> tuple[set[str], dict[str, int]]:
        """Return the followed addresses, and the positions by enclosure, as our own API reports them."""
        self.own.sync()
        followed = {
            text_of(name)
            for name, entry in self.own.subscriptions.items()
            if not entry["unsubscribed_at"] or entry["subscribed_at"] > entry["unsubscribed_at"]
        }
        statuses = self.own.play_statuses.values()
        return followed, {entry["enclosure_url"]: entry["position"] for entry in statuses}


class Life:
    """Plays, follows and syncs of several apps in a random order; some apps are offline for a while.

    Each app follows and unfollows podcasts of its own: if two apps change the same one before either syncs,
    each app decides for itself what it keeps.
    """

    def __init__(self, players: list[Player], seed: int) -> None:
        self.players = players
        self.chance = random.Random(seed)
        self.now = BEGIN
        # by how many seconds the clocks of the devices are off
        self.wrong = dict(zip(range(len(players)), (0, 3_600, -600, 0), strict=False))
        self.offline: set[int] = set()

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.now += timedelta(seconds=self.chance.randrange(60, 900))
            self.step(self.chance.randrange(len(self.players)))

    def step(self, number: int) -> None:
        player = self.players[number]
        match self.chance.choices(["play", "follow", "sync", "leave", "come back"], [9, 3, 6, 1, 2])[0]:
            case "play":
                at = self.now + timedelta(seconds=self.wrong[number])
                player.play(self.chance.choice(EPISODES).url, self.chance.randrange(1, 1_801), at)
            case "follow":
                feed = self.chance.choice(FEEDS[5 + number :: len(self.players)])
                (player.unfollow if feed in player.followed else player.follow)(feed)
            case "leave":
                self.offline.add(number)
            case "come back":
                self.offline.discard(number)
            case _ if number not in self.offline:
                player.sync()


def settle(players: list[Player]) -> None:
    """Sync every app, online or not, until each has received what the others sent."""
    for _ in range(3):
        for player in players:
            player.sync()


def cleaned(player: Player, feeds: set[str]) -> set[str]:
    """Return addresses as an app spells them."""
    return {player.cleaned(url) for url in feeds}


def check_agree(account: Account, players: list[Player]) -> None:
    """Check that every app has received what all have sent, and shows what our own API reports."""
    sent = set.union(*(player.sent for player in players))
    followed, positions = account.state()
    overruled = set.union(*(player.overruled for player in players))
    assert len(overruled) < len(positions) / 2
    for player in players:
        assert sent - player.heard == set(), player.device
        assert player.followed == cleaned(player, followed), player.device
        wanted = {
            url: player.episodes[url].length if player.is_finished(url, position) else position
            for url, position in positions.items()
        }
        shown = player.shown()
        assert {url: shown.get(url) for url in wanted.keys() - overruled} == {
            url: position for url, position in wanted.items() if url not in overruled
        }, player.device


def test_all_of_them_end_with_the_same_state(instance: Instance) -> None:
    account = Account(instance, "erin")
    desk = GPodder(account.url, account.name, account.password(), "desk", EPISODES)
    phone = account.player(AntennaPod, "phone")
    laptop = account.player(Kasts, "laptop")
    tablet = NextcloudAntennaPod(account.url, "", "", "", EPISODES, clock_is_off=3_600)
    assert isinstance(phone, AntennaPod)
    tablet.let_in(account.let_in)
    players = [phone, tablet, laptop, desk]
    for name, player in {"Phone": phone, "Laptop": laptop, "Desk": desk}.items():
        player.set_up(name)
    follow_all(players, desk)
    life = Life(players, seed=20)
    life.go_on(50)
    desk.restart()
    tablet.clock_is_off = -3_600
    gone = wiped(account, players)
    life.go_on(30)
    settle(players)
    check_agree(account, players)
    assert gone <= players[0].heard
    unfollow_nearly_all(account, desk, players)
    check_agree(account, players)


def follow_all(players: list[Player], first: Player) -> None:
    for url in FEEDS:
        first.follow(url)
    settle(players)


@pytest.mark.skipif(not is_installed(), reason="Debian's package gpodder is not installed")
def test_gpodder_itself_on_two_computers_beside_a_phone(instance: Instance, tmp_path: Path) -> None:
    account = Account(instance, "frank")
    desks: list[RealGPodder] = []
    for name in ("desk", "office"):
        (tmp_path / name).mkdir()
        named = (account.url, account.name, account.password(), name, EPISODES)
        desks.append(RealGPodder(*named, home=tmp_path / name))
    phone = account.player(AntennaPod, "phone")
    players: list[Player] = [desks[0], phone, desks[1]]
    try:
        for player in players:
            player.set_up(player.device.title())
        follow_all(players, desks[0])
        Life(players, seed=3).go_on(60)
        settle(players)
        check_agree(account, players)
    finally:
        for desk in desks:
            desk.leave()


def unfollow_nearly_all(account: Account, desk: Player, players: list[Player]) -> None:
    """The listener is asked and declines: nobody else loses anything, and the app gets its podcasts back."""
    before = set(desk.followed)
    for url in sorted(before)[:-4]:
        desk.unfollow(url)
    settle(players)
    assert len(desk.followed) == 4
    assert all(player.followed == cleaned(player, before) for player in players if player is not desk)
    account.decide_held("desk", "keep")
    settle(players)
    assert desk.followed == before


def wiped(account: Account, players: list[Player]) -> set[Heard]:
    """The phone loses everything that it had not sent, and is set up again. Returns what it had sent."""
    old = players[0]
    new = AntennaPod(account.url, old.name, old.password, "phone-2", EPISODES)
    new.set_up("New phone")
    new.sync()
    assert new.followed == cleaned(new, account.state()[0])
    assert old.sent <= new.heard
    players[0] = new
    return old.sent
