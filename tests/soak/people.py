"""Registering listeners on the web pages and authorizing their app, as browsers do it."""

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import UUID

from examples.two_devices import Browser
from tests.soak import world
from tests.soak.clock import Clock
from tests.soak.device import Device
from tests.soak.listeners import Listener
from tests.soak.live import LiveDevice
from tests.soak.wire import Account, Ledger, Player, Wire, from_home

DEVICES = ("phone", "tablet", "desk")
AT_ONCE = 4
# one listener in so many has a device that only a live connection keeps up to date
LIVE_ONE_IN = 3


def register(
    server: str, ledger: Ledger, clock: Clock, count: int, seed: int, live: str = ""
) -> list[Listener]:
    """Return new listeners, each with two or three devices whose app the listener has authorized. ``live`` is
    the address for live connections, if there are any."""
    app, shared = Player("org.example.soak", "Soak"), world.shared()

    def one(number: int) -> Listener:
        account = _account(server, app, number)
        rng = Random(f"{seed}-devices-{number}")
        names = DEVICES[: rng.choice((2, 2, 3))]
        wires = [
            Wire(server, ledger, clock, app, account, f"{name}-{_id(rng)}", f"{name} {number:03}")
            for name in names
        ]
        listener = Listener(account, wires, seed, shared)
        if live and number % LIVE_ONE_IN == 0:
            name = "radio"
            wire = Wire(server, ledger, clock, app, account, f"{name}-{_id(rng)}", f"{name} {number:03}")
            listener.live_device = LiveDevice(Device(wire, clock), live)
            listener.live_device.start()
        return listener

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(count)))


def erase(listener: Listener) -> None:
    """Erase the account on its web page. The devices do not know of it yet."""
    account, wire = listener.account, listener.devices[0].wire
    browser = Browser(wire.server)
    browser.session.headers.update(from_home(account.number))
    browser.log_in(account.username, account.password)
    answer = browser.submit("/settings/erase", password=account.password, sure="on")
    listener.erased = True
    if answer.status_code != 200 or "<form" in answer.text:
        wire.ledger.fault(f"erasing {account.username} was answered {answer.status_code}")


def words(listener: Listener) -> list[str]:
    """Return the words that identify a listener wherever they are written."""
    known = [*listener.devices, *([listener.live_device.device] if listener.live_device else [])]
    devices = [device.wire.device_id for device in known]
    return [listener.account.user_id, listener.account.username, *devices]


def secrets_of(listener: Listener) -> list[str]:
    """Return what the public must never see of a listener."""
    shown = words(listener) if listener.never_named else []
    if listener.habit.level is None:
        shown += world.words(listener.own)
    return [*shown, *world.words(listener.paid)]


def never_public(listeners: Iterable[Listener]) -> list[str]:
    return [word for listener in listeners for word in secrets_of(listener)]


def _account(server: str, app: Player, number: int) -> Account:
    browser = Browser(server)
    browser.session.headers.update(from_home(number))
    username, password = f"listener-{number:03}", secrets.token_urlsafe(16)
    browser.sign_up(username, password)
    return Account(number, browser.authorize(app), username, password)


def _id(rng: Random) -> UUID:
    return UUID(int=rng.getrandbits(128), version=4)
