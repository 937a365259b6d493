"""Read models rebuilt from the whole log: by our rebuild, and by the peer's projection runner."""

import time
from typing import Any

from benchmarks import environment, eventsourcing, history
from benchmarks.reads import fill
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale
from projections.garbage import relaxed_gc
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.rebuild import rebuild

# rounds of rebuilding everything, which takes longest
ROUNDS = 3
CHUNK = 500


def ours(projectors: list[Projector]) -> float:
    """Return the seconds that ``manage.py rebuild_projections`` takes: it fills every table and swaps them in
    at the end."""
    with relaxed_gc():
        began = time.perf_counter()
        rebuild(projectors)
        return time.perf_counter() - began


def theirs(last: int) -> float:
    """Return the seconds that the peer's runner takes from an empty table to the notification ``last``."""
    with environment.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {eventsourcing.SCHEMA}.play_statuses")
        connection.execute(f"DROP TABLE IF EXISTS {eventsourcing.SCHEMA}.playstatuses_tracking")
    began = time.perf_counter()
    with eventsourcing.runner() as runner:
        runner.wait(last, timeout=600)
    return time.perf_counter() - began


def run(scale: Scale) -> Section:
    section = Section("Rebuild of the read models (events/s)", ["", "ours", "eventsourcing"])
    section.rows.append([f"all {len(PROJECTORS)} projectors, mixed events", number(middle(whole(scale))), ""])
    one, theirs = alone(scale)
    section.rows.append(
        ["one projector, plays", number(middle(one)), number(middle(theirs) if theirs else None)]
    )
    section.goals.append(
        Goal(
            "one projector / eventsourcing's projection runner", ratio(one, theirs) if theirs else None, 50.0
        )
    )
    section.notes.append(
        f"Ours: {scale.events:,} events of {scale.users:,} listeners, beside the live tables, the swap"
        " included. Mixed: plays and positions, subscriptions, saved episodes, shares, lists, privacy; of"
        f" four listeners one is public, one anonymous. The peer: {scale.peer_events:,} plays into one table"
        " of the same columns as ours."
    )
    return section


def whole(scale: Scale) -> list[float]:
    """Return the events per second of all projectors, over realistic histories."""
    environment.empty()
    history.fill(scale.users, scale.events // scale.users)
    environment.settle()
    return [scale.events / ours(list(PROJECTORS.values())) for _ in range(min(scale.rounds, ROUNDS))]


def alone(scale: Scale) -> tuple[list[float], list[float]]:
    """Return the events per second of one projector over plays of different items, and those of the peer if
    it is installed."""
    environment.empty()
    fill(scale.events, scale.events // scale.users)
    last = 0
    if eventsourcing.INSTALLED:
        eventsourcing.prepare()
        last = peer_fill(scale.peer_events)
    environment.settle()
    rates: list[float] = []
    peer_rates: list[float] = []
    for _ in range(min(scale.rounds, 5)):
        rates.append(scale.events / ours([PROJECTORS["plays"]]))
        if last:
            peer_rates.append(last / theirs(last))
    return rates, peer_rates


def peer_fill(events: int) -> int:
    """Record ``events`` events of one listener; returns the id of the last notification."""
    app: Any = eventsourcing.application()
    who = eventsourcing.listener(app)
    for first in range(0, events, CHUNK):
        # with 5,000 in one pipeline, client and server deadlock
        recordings = app.events.put(eventsourcing.plays(who, min(CHUNK, events - first), first))
    return int(recordings[-1].notification.id)
