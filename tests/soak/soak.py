"""A week in the life of many listeners against the servers of ``make run``, spread over sixty days."""

import contextlib
import functools
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil

from tests.e2e.instances import Instance, eventually, free_port, running
from tests.soak import checks, people, world
from tests.soak.clock import Clock, MovingClock
from tests.soak.listeners import Listener
from tests.soak.live import LiveDevice
from tests.soak.onlooker import Onlooker
from tests.soak.wire import Ledger

DAY = timedelta(days=1)
AT_ONCE = 6
# share of the plan's time that is kept for the checks at the end, and for a slow machine
FOR_CHECKS = 0.3
WORST_SHOWN = 40


@dataclass(frozen=True)
class Plan:
    """``days`` are those on which listeners live a day, counted from the start. On the days between them,
    some devices do no more than sync, and the worker runs at least every ``stride`` days. If all days are
    the first, no clock is moved.

    ``removals`` is how many listeners have a part of their history removed on the first day, and how many
    others on the last day. ``restarts`` says in which of the days programs are killed.
    """

    listeners: int
    days: tuple[int, ...]
    seconds: float
    stride: int = 5
    erasures: int = 0
    removals: int = 0
    restarts: tuple[int, ...] = ()


WEEK = Plan(listeners=200, days=(0, 1, 2, 3, 20, 40, 60), seconds=600, erasures=4, removals=4, restarts=(2,))
# plan for the ordinary tests
AFTERNOON = Plan(listeners=6, days=(0, 50), seconds=60, stride=50, erasures=1, removals=1)
# plan for machines where the clock cannot be moved
MORNING = Plan(listeners=6, days=(0, 0), seconds=60, erasures=1, removals=1)


@dataclass
class Soak:
    plan: Plan
    seed: int
    clock: Clock
    instance: Instance
    say: Callable[[str], None]
    live_port: int
    ledger: Ledger = field(default_factory=Ledger)
    listeners: list[Listener] = field(default_factory=list)
    heard: checks.Hours = field(default_factory=checks.Hours)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.plan.seconds
        self._today = 0

    def run(self) -> list[str]:
        """Play the plan; return every fault that was found."""
        self.listeners = people.register(
            self.instance.url,
            self.ledger,
            self.clock,
            self.plan.listeners,
            self.seed,
            f"ws://localhost:{self.live_port}/api/v1/live",
        )
        self.say(
            f"{len(self.listeners)} listeners, {sum(len(one.devices) for one in self.listeners)} devices"
        )
        for number, day in enumerate(self.plan.days):
            self._let_pass(day)
            with self._watched():
                self._live(number, day)
            self._work()
        with self._watched():
            self._come_home()
        self._work()
        return self.ledger.faults + self._check()

    def _let_pass(self, until: int) -> None:
        """Let days pass on which some devices sync, and the worker runs."""
        while self._today < until:
            stride = min(self.plan.stride, until - self._today)
            self.clock.forward(stride * DAY)
            self._today += stride
            if self._today < until:
                few = [one for one in self._there() if one.rng.random() < 0.2]
                self._each(few, lambda one: one.look_in(self._today), "looks in")
                self._work()

    def _live(self, number: int, day: int) -> None:
        first, last = number == 0, number == len(self.plan.days) - 1
        if last:
            self._leave()
        with self._restarts() if day in self.plan.restarts else contextlib.nullcontext():
            self._each(self._there(), lambda one: one.live(day), f"day {day}")
        if first or last:
            silent = [one for one in self._there() if one.never_named and not one.regretted]
            self._each(silent[: self.plan.removals], Listener.regret, "removals")

    def _leave(self) -> None:
        """Have some listeners erase their accounts."""
        leaving = self._there()[-self.plan.erasures :] if self.plan.erasures else []
        for one in leaving:
            people.erase(one)
        for one in leaving:
            self._knock(one)

    def _knock(self, listener: Listener) -> None:
        """Let devices that do not know yet that their account is erased sync; they must be refused."""
        for device in listener.devices:
            answer = device.wire.send("POST", "/api/v1/sync", device.memory.everything(), allow=(401,))
            if answer.status != 401:
                self.ledger.fault(f"{listener.account.username} is erased, and was answered {answer.status}")
        if listener.live_device is not None:
            live = listener.live_device
            eventually(lambda: live.ended, 20)

    def hang_up(self) -> None:
        """End the live connections."""
        for live in self.live_devices():
            live.stop()

    def live_devices(self) -> list[LiveDevice]:
        return [one.live_device for one in self.listeners if one.live_device is not None]

    def _come_home(self) -> None:
        self._each(self._there(), Listener.come_home, "come home", even_if_late=True)

    def _there(self) -> list[Listener]:
        return [one for one in self.listeners if not one.erased]

    def _each(
        self,
        listeners: Iterable[Listener],
        do: Callable[[Listener], None],
        what: str,
        *,
        even_if_late: bool = False,
    ) -> None:
        """Do something for all listeners, a few at a time, except for those whose turn comes too late."""
        began, before = time.monotonic(), self.ledger.statuses.total()
        until = self._deadline - FOR_CHECKS * self.plan.seconds

        def one(listener: Listener) -> bool:
            if time.monotonic() > until and not even_if_late:
                return False
            try:
                do(listener)
            except Exception as error:
                where = traceback.format_exception(error)[-2].strip()
                self.ledger.fault(f"{what}: {listener.account.username}: {error!r} {where}")
            return True

        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = list(pool.map(one, listeners))
        requests = self.ledger.statuses.total() - before
        late = f", {done.count(False)} had no time" if False in done else ""
        self.say(
            f"{self.clock.now():%Y-%m-%d}  {what}: {done.count(True)} listeners,"
            f" {requests:,} requests in {time.monotonic() - began:.1f} s{late}"
        )

    def _work(self) -> None:
        """Run the worker; again if one that the scheduler started is running just now."""
        printed: list[str] = []

        def worked() -> bool:
            try:
                printed[:] = self.instance.manage("run_worker_once").splitlines()
            except AssertionError as refused:
                if "Another worker" not in str(refused):
                    raise
            return bool(printed)

        eventually(worked, 60)
        self.say(f"{self.clock.now():%Y-%m-%d}  worker: {printed[0]}")
        self._note_checkpoints()

    def _note_checkpoints(self) -> None:
        """Before retention takes them, too."""
        listening = {f"user-{one.account.user_id}": one.listening for one in self.listeners}
        with self.instance.store() as store:
            for stream, at in store.execute(
                "SELECT streams.name, recorded_at FROM events.events"
                " JOIN events.streams ON streams.id = events.stream WHERE type = 'UserCheckpoint'"
            ):
                if stream in listening:
                    listening[stream].checkpoints.add(at)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        forbidden = people.never_public(self.listeners)
        onlooker = Onlooker(self.instance.url, self.ledger, world.shared(), forbidden).start()
        try:
            yield
        finally:
            onlooker.stop()

    @contextmanager
    def _restarts(self) -> Iterator[None]:
        """Kill every program while listeners carry on, and wait until the instance is ready again."""
        with self.ledger.restart():
            for part in ("run_projectors", "balados.serve", "balados.live", "celery"):
                for process in self.instance.processes(part):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(signal.SIGKILL)
            yield
            onlooker = Onlooker(self.instance.url, self.ledger, [], [])
            eventually(lambda: "ok" in onlooker.look_at("/health/ready"), 60)

    def _check(self) -> list[str]:
        checks.settle(self.instance)
        there = self._there()
        found: dict[str, list[str]] = {
            "every client's view equals the server's": [
                fault for one in there for fault in checks.views_agree(one)
            ],
            "statistics say what was heard": self._check_statistics(there),
            "nothing private in a public table": list(
                checks.nothing_private_is_public(self.instance, self.listeners)
            ),
            "rebuild equals live": list(checks.rebuild_equals_live(self.instance)),
            "what was removed is gone": list(checks.removed_is_gone(self.instance, self.listeners)),
            "old events are gone": list(checks.old_events_are_gone(self.instance, self.clock.now())),
            "no dead letters": list(checks.nothing_set_aside(self.instance)),
            "clean logs": list(checks.logs_are_clean(self.instance, self.listeners)),
        }
        for promise, faults in found.items():
            self.say(f"{'FAULT' if faults else 'ok   '}  {promise}" + (f": {len(faults)}" if faults else ""))
        return [fault for faults in found.values() for fault in faults]

    def _check_statistics(self, there: Iterable[Listener]) -> list[str]:
        found = [checks.statistics_agree(one, self.clock.now()) for one in there]
        self.heard = functools.reduce(checks.Hours.plus, (hours for hours, _ in found), checks.Hours())
        self.say(str(self.heard))
        return [fault for _, faults in found for fault in faults]


def soak(plan: Plan, seed: int, say: Callable[[str], None], *, moving: bool) -> list[str]:
    """Play the plan against an instance of its own. Return the faults: an empty list if all is well."""
    with begun(plan, seed, say, moving=moving) as played:
        faults = played.run()
    say(_summary(played.ledger))
    live = played.live_devices()
    notified, breaks = sum(one.notified for one in live), sum(one.breaks for one in live)
    say(f"{len(live)} live connections, told {notified:,} times, interrupted {breaks:,} times")
    return faults


@contextmanager
def begun(plan: Plan, seed: int, say: Callable[[str], None], *, moving: bool) -> Iterator[Soak]:
    """Begin a soak on an instance that is stopped at the end. ``moving``: whether its clock can be moved."""
    with tempfile.TemporaryDirectory(prefix="balados-soak-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL's own user reads the clock
        clock = MovingClock(directory) if moving else Clock()
        # as behind a proxy, so that every listener has an address
        # no mail: with a console backend it would be printed, and the output is searched for addresses
        with running(
            directory / "home",
            TRUSTED_PROXIES="1",
            EMAIL_URL="none:",
            LIVE="on",
            LIVE_PORT=str(live_port := free_port()),
            **clock.environment,
        ) as instance:
            instance.set_up()
            soak = Soak(plan, seed, clock, instance, say, live_port)
            try:
                yield soak
            finally:
                soak.hang_up()


def _summary(ledger: Ledger) -> str:
    seconds = sorted(ledger.seconds)
    statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(ledger.statuses.items()))
    share = seconds[int(0.99 * len(seconds))] * 1000 if seconds else 0
    return f"{len(seconds):,} requests ({statuses}), {ledger.repeats} repeated, p99 {share:.0f} ms"
