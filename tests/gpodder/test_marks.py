"""Apps that change the numbers that they receive, each in its own way: in whatever order they sync, all of
them end with what the others did, and nothing is lost."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.app_models import SyncMark
from accounts.models import User
from api.gpodder import access
from eventstore import dispatcher
from tests.factories import UserFactory
from tests.gpodder.apps import PodcastApp, feed_url, play
from tests.gpodder.conftest import password_of
from tests.properties import examples


class Clock:
    """The server's clock, which can step back and forth."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime.fromisoformat("2026-11-28T12:00:00.5+00:00")
        monkeypatch.setattr(access, "now", lambda: self.now)

    def go(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Listener:
    """An app with what it knows; ``after_read`` and ``after_upload`` return the number that it sends next."""

    def __init__(self, app: PodcastApp, number: int) -> None:
        self.app, self.number = app, number
        self.since, self.since_feeds = 0, 0
        self.known: set[tuple[str, int]] = set()
        self.feeds: set[str] = set()
        self.own: list[dict[str, Any]] = []
        self.count = 0

    def play(self, at: datetime) -> None:
        self.count += 1
        moment = at.strftime("%Y-%m-%dT%H:%M:%S")
        action = play(self.count % 3, at=moment, position=1_000 * self.number + self.count, total=9_999)
        self.own.append(action)

    def after_read(self, mark: int) -> int:
        return mark

    def after_upload(self, mark: int) -> int:
        return mark

    def sync(self) -> None:
        answer = self.app.actions(self.since)
        self.learn(answer["actions"])
        self.since = self.after_read(answer["timestamp"])
        if self.own:
            mark = self.app.upload(*self.own)["timestamp"]
            self.learn(self.own)
            self.own = []
            self.since = self.after_upload(mark)

    def sync_feeds(self, add: list[str], remove: list[str]) -> None:
        answer = self.app.subscriptions(self.since_feeds)
        self.feeds = (self.feeds | set(answer["add"])) - set(answer["remove"])
        self.since_feeds = self.after_read(answer["timestamp"])
        if add or remove:
            self.feeds = (self.feeds | set(add)) - set(remove)
            self.since_feeds = self.after_upload(self.app.upload_subscriptions(add, remove)["timestamp"])

    def learn(self, actions: list[dict[str, Any]]) -> None:
        self.known |= {(action["guid"], action["position"]) for action in actions}


class GPodder(Listener):
    """Continues from the number of its last read for episodes, of its last upload for podcasts."""

    def sync(self) -> None:
        self.after_upload = lambda mark: self.since  # type: ignore[method-assign]
        super().sync()
        del self.after_upload


class Kasts(Listener):
    """An app that adds one to each number."""

    def after_read(self, mark: int) -> int:
        return mark + 1

    def after_upload(self, mark: int) -> int:
        return mark + 1


KINDS = [Listener, GPodder, Kasts, Listener]
steps = st.lists(
    st.tuples(
        st.integers(0, len(KINDS) - 1),
        st.sampled_from(
            ["play", "play late", "sync", "sync", "follow", "unfollow", "sign in again", "other server"]
        ),
        st.sampled_from([0.0, 0.0, 1.0, 2.0, 90.0, -3_600.0, 3_600.0]),
    ),
    max_size=40,
)


def act(one: Listener, what: str, clock: Clock) -> None:
    match what:
        case "play":
            one.play(clock.now)
        case "play late":
            one.play(clock.now - timedelta(days=400))
        case "follow":
            one.sync_feeds([feed_url(one.count % 4)], [])
        case "unfollow":
            one.sync_feeds([], [feed_url((one.count + 1) % 4)])
        case "other server":
            dispatcher.clear_cache()
        case "sign in again":
            one.app.client.cookies.clear()
        case _:
            one.sync()
            one.sync_feeds([], [])


# two apps whose clocks are equally fast report two different plays of one episode
AHEAD_ALIKE = [
    (2, "play late", 0.0),
    (3, "play", -3_600.0),
    (2, "play", -3_600.0),
    (3, "play", 0.0),
    (3, "unfollow", -3_600.0),
    (2, "play", -3_600.0),
    (2, "play", -3_600.0),
]


@given(history=steps)
@example(history=AHEAD_ALIKE)
@examples(25, whole=1_000)
def test_nothing_is_lost_between_apps_in_whatever_order(
    stores: None, history: list[tuple[int, str, float]]
) -> None:
    alice = UserFactory.create()
    with pytest.MonkeyPatch.context() as patch:
        run(alice, history, Clock(patch))


def run(alice: User, history: list[tuple[int, str, float]], clock: Clock) -> None:
    devices = [
        kind(PodcastApp(alice.username, password_of(alice), f"d{number}", agent=f"app {number}"), number)
        for number, kind in enumerate(KINDS)
    ]
    for number, what, pause in history:
        clock.go(pause)
        act(devices[number], what, clock)
    for _ in range(3):
        clock.go(7_300)
        for one in devices:
            one.sync()
            one.sync_feeds([], [])
    every = set.union(*(one.known for one in devices))
    assert [every - one.known for one in devices] == [set()] * len(devices)
    assert [one.feeds for one in devices] == [devices[0].feeds] * len(devices)
    if not any(pause < 0 for _, _, pause in history):
        assert 0 < devices[0].since < 2**31


def test_numbers_stay_near_the_clock_and_are_two_apart(phone: PodcastApp, desk: PodcastApp) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        given = []
        for number in range(60):
            phone.upload(play(number))
            given.append(desk.actions()["timestamp"])
        assert all(mark % 2 == 0 for mark in given)
        assert given == sorted(given)
        assert max(given) <= clock.now.timestamp() + 60


def test_who_comes_to_the_head_writes_nothing(phone: PodcastApp, desk: PodcastApp, alice: User) -> None:
    phone.upload(play(1))
    desk.actions()
    since = desk.actions()["timestamp"]
    before = SyncMark.objects.filter(user=alice).count()
    for _ in range(5):
        assert desk.actions(since) == {"actions": [], "timestamp": since}
    assert SyncMark.objects.filter(user=alice).count() == before


def test_after_a_restore_everything_is_told_again(phone: PodcastApp, alice: User) -> None:
    phone.upload(play(1))
    since = phone.actions()["timestamp"]
    SyncMark.objects.filter(user=alice).update(version=999)
    assert len(phone.actions(since)["actions"]) == 1
    assert not SyncMark.objects.filter(user=alice, version=999).exists()
