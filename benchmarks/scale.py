"""The amount that is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """``seconds`` is per contender and round; medians are taken over ``rounds``.

    There are many short rounds, so that a disturbance of a second or two spoils a few of them, but not the
    median.
    """

    seconds: float = 0.6
    rounds: int = 11
    clients: tuple[int, ...] = (1, 8, 32)
    # the log that is read, folded and rebuilt
    events: int = 500_000
    users: int = 1_000
    # the history of the one listener whose state is loaded
    longest: int = 100_000
    peer_events: int = 5_000
    stream: int = 1_000
    # seconds of each measurement of delays; the search for skipped events takes half
    delay_seconds: float = 20.0
    syncs: tuple[int, ...] = (10_000, 50_000)
    sync_rounds: int = 5
    request_seconds: float = 5.0
    request_rounds: int = 5
    # known plays of each single listener; number and known plays of the many listeners
    listeners: tuple[int, ...] = (100, 100_000, 500_000)
    active: int = 5_000
    active_entries: int = 1_000
    plays: int = 2_000
    # episodes of each of 200 podcasts, and play tokens of the listener who follows these
    feed_episodes: int = 500
    players: int = 1_000
    # the listener who opens pages: episodes of each podcast, plays, and requests of each page
    page_episodes: int = 334
    page_plays: int = 20_000
    page_rounds: int = 40
    # podcast apps: actions stored (all are read of the first number), and actions sent at once
    actions: tuple[int, ...] = (100_000, 10_000, 1_000_000)
    upload: int = 10_000
    app_rounds: int = 3
    polls: int = 300
    growth_posts: int = 60
    # 200 apps poll within so many seconds, instead of ten minutes, while so many feeds are due
    polling_apps: int = 200
    poll_seconds: float = 40.0
    polled_feeds: int = 1_000
    # live connections: those with traffic, and idle ones
    live_busy: int = 200
    live_idle: int = 1_000
    # a whole instance: seconds at rest, seconds under load, and the listeners and feeds of that load
    footprint_seconds: float = 60.0
    footprint_load_seconds: float = 90.0
    footprint_listeners: int = 200
    footprint_feeds: int = 2_000
    # episodes of the feeds that are read
    feeds: tuple[int, ...] = (100, 2_000, 10_000)
    feed_rounds: int = 3


FULL = Scale()
# every line of every benchmark, within seconds: the figures say nothing about speed
TINY = Scale(
    seconds=0.1,
    rounds=1,
    live_busy=4,
    live_idle=4,
    clients=(1, 2),
    events=2_000,
    users=10,
    longest=2_000,
    peer_events=50,
    stream=100,
    delay_seconds=0.5,
    syncs=(100,),
    sync_rounds=1,
    request_seconds=1.0,
    request_rounds=1,
    listeners=(10, 200),
    active=5,
    active_entries=10,
    plays=20,
    feed_episodes=2,
    players=20,
    page_episodes=2,
    page_plays=100,
    page_rounds=3,
    actions=(100, 20),
    upload=60,
    app_rounds=1,
    polls=3,
    growth_posts=2,
    polling_apps=2,
    poll_seconds=1.0,
    polled_feeds=20,
    footprint_seconds=1.0,
    footprint_load_seconds=4.0,
    footprint_listeners=8,
    footprint_feeds=16,
    feeds=(10,),
    feed_rounds=1,
)
