"""Listeners and their days: what they do, how they guard their privacy, when their devices are offline."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import NamedTuple

from tests.soak import actions, world
from tests.soak.actions import Doing
from tests.soak.device import Device
from tests.soak.listening import ListeningLog
from tests.soak.live import LiveDevice
from tests.soak.wire import Account, Ledger, Wire, send
from tests.soak.world import Show

LEVELS = ("public", "anonymous", "private")
# by how much devices' clocks are off; most are exact
ERRORS = (
    *[timedelta()] * 6,
    timedelta(seconds=40),
    timedelta(minutes=-7),
    timedelta(hours=3),
    timedelta(days=-365),
    timedelta(days=365),
)
ACTIONS_A_DAY = range(10, 40)
# probability that a device is put down and another is taken
PUTS_DOWN = 0.4
# probability for a device that was online yesterday
GOES_OFFLINE = 0.25
FOR_DAYS = range(1, 4)
# probability that the answer to a request is lost, after which the same request is sent again
ANSWER_LOST = 0.05
INSTALLED_ANEW = 0.01
SENDS_EVERYTHING = 0.03


class Habit(NamedTuple):
    """``level`` is the account's privacy from the first day on; None leaves it at the instance's default.

    ``changes`` is how often a day the account's level is changed, ``exceptions`` how often a day a feed or an
    item gets a setting of its own.
    """

    name: str
    level: str | None
    changes: float = 0.0
    exceptions: float = 0.0


HABITS = (
    Habit("silent", None),
    Habit("shy", "anonymous"),
    Habit("careful", "anonymous", exceptions=0.3),
    Habit("open", "public"),
    Habit("choosy", "public", exceptions=0.5),
    Habit("fickle", "public", changes=0.6),
)


class Listener:
    """A person with two or three devices. The same ``seed`` and number lead to the same life."""

    def __init__(self, account: Account, wires: list[Wire], seed: int, shared: list[Show]) -> None:
        self.account = account
        self.rng = Random(f"{seed}-{account.number}")
        self.habit = HABITS[account.number % len(HABITS)]
        self.devices = [
            Device(wire, wire.clock, self.rng.choice(ERRORS), queues_plays=self.rng.random() < 0.5)
            for wire in wires
        ]
        self.listening = ListeningLog(self.devices, self.rng)
        self.own, self.paid = world.own(account.number), world.paid(account.number)
        self.regretted: list[Show] = []
        self.erased = False
        self.live_device: LiveDevice | None = None
        favourites = self.rng.sample(shared[: len(shared) // 3], 4) + self.rng.sample(shared, 6)
        # each show once; those that reveal most about a listener are heard often
        self.shows = list(dict.fromkeys([*favourites[:2], self.own, self.paid, *favourites[2:]]))
        self._back: dict[Device, int] = {}

    @property
    def ledger(self) -> Ledger:
        return self.devices[0].wire.ledger

    @property
    def never_named(self) -> bool:
        """Whether nothing that the public sees may ever be traced to this listener."""
        return self.habit.level in (None, "anonymous") and not self.habit.exceptions

    def live(self, day: int) -> None:
        """Live through a day. The devices take turns, as a person holds one of them at a time."""
        if day == 0 and self.habit.level is not None:
            actions.set_privacy(self._doing(self.devices[0], online=True), self.habit.level)
        for device in self.devices:
            if self._back.get(device, 0) <= day and self.rng.random() < GOES_OFFLINE:
                self._back[device] = day + self.rng.choice(FOR_DAYS)
        device = self.rng.choice(self.devices)
        for _ in range(self.rng.choice(ACTIONS_A_DAY)):
            if self.rng.random() < PUTS_DOWN:
                device = self.rng.choice(self.devices)
            reachable = self._back.get(device, 0) <= day
            (action,) = self.rng.choices(list(actions.WEIGHTS), list(actions.WEIGHTS.values()))
            action(self._doing(device, online=reachable and self.rng.random() < 0.5))
            self._guard(device, reachable)
            if reachable and self.rng.random() < 0.2:
                self._sync(device)
        self.look_in(day)

    def look_in(self, day: int) -> None:
        """Sync every device that is online."""
        for device in self.devices:
            if self._back.get(device, 0) <= day:
                if self.rng.random() < INSTALLED_ANEW:
                    device.forget()
                self._sync(device)

    def come_home(self) -> None:
        """Bring every device online: first all of them send at once, then each receives."""
        self._back.clear()
        with ThreadPoolExecutor(len(self.devices)) as pool:
            list(pool.map(Device.sync, self.devices))
        for device in self.devices:
            device.sync()

    def regret(self) -> None:
        """Hear something once, on one device, and have it removed from the history."""
        show = world.regretted(self.account.number)
        self.regretted.append(show)
        device = self.devices[0]
        doing = Doing(device, True, self.rng, [show], self.listening)
        for action in (actions.follow, actions.hear_of, actions.save, actions.hear_of):
            action(doing)
        device.ask("POST", doing.path("removals"), {"feed": show.feed})
        # the other devices never learn of the show; this one is told to forget it
        device.sync()

    def _guard(self, device: Device, reachable: bool) -> None:
        doing = self._doing(device, online=reachable and self.rng.random() < 0.5)
        if self.rng.random() < self.habit.changes / 10:
            level = self.rng.choice(LEVELS)
            actions.set_privacy(doing, level)
            if doing.online and level != "public":
                self._check_hidden()
        if self.rng.random() < self.habit.exceptions / 10:
            show = doing.show()
            item = self.rng.choice(show.episodes).item if self.rng.random() < 0.4 else None
            actions.set_privacy(doing, self.rng.choice([*LEVELS, None]), show.feed, item)

    def _check_hidden(self) -> None:
        """Check that what has just been hidden is hidden from the very next request on."""
        wire = self.devices[0].wire
        timeline = send(wire.ledger, "GET", wire.server, "/api/v1/public/timeline?limit=100", None, wire.home)
        if f'"{self.account.username}"' in timeline.text:
            wire.ledger.fault(f"{self.account.username} is hidden, and in the timeline")

    def _sync(self, device: Device) -> None:
        whole = self.rng.random() < SENDS_EVERYTHING and not self.regretted
        if self.rng.random() < ANSWER_LOST:
            device.sync(everything=whole, answer_lost=True)
        device.sync(everything=whole)

    def _doing(self, device: Device, *, online: bool) -> Doing:
        return Doing(device, online, self.rng, self.shows, self.listening)
