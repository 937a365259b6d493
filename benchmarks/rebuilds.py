"""Read models built anew from the whole log: our rebuild and the peer's projection runner."""

import time
from typing import Any

from balados.management.commands.run_projectors import patient_collector
from benchmarks import environment, peer
from benchmarks.reads import fill
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild

STREAM = 1_000
CHUNK = 500


def ours() -> float:
    """Seconds of what ``manage.py rebuild_projections`` does: every projector, swapped in at the end."""
    with patient_collector():
        began = time.perf_counter()
        rebuild(list(PROJECTORS.values()))
        return time.perf_counter() - began


def theirs(last: int) -> float:
    """Seconds that its runner takes from nothing to the notification ``last``."""
    with environment.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {peer.SCHEMA}.play_statuses")
        connection.execute(f"DROP TABLE IF EXISTS {peer.SCHEMA}.playstatuses_tracking")
    began = time.perf_counter()
    with peer.runner() as runner:
        runner.wait(last, timeout=600)
    return time.perf_counter() - began


def run(scale: Scale) -> Section:
    environment.empty()
    stream = min(STREAM, scale.events)
    fill(scale.events, stream)
    last = 0
    if peer.INSTALLED:
        peer.prepare()
        last = peer_fill(scale.peer_events)
    environment.settle()
    rates: list[float] = []
    peer_rates: list[float] = []
    for _ in range(min(scale.rounds, 5)):
        rates.append(scale.events / ours())
        if last:
            peer_rates.append(last / theirs(last))
    section = Section("Rebuild of the read models (events/s)", ["", "ours", "eventsourcing"])
    theirs_per_second = number(middle(peer_rates) if peer_rates else None)
    section.rows.append(["every event another item", number(middle(rates)), theirs_per_second])
    section.goals.append(
        Goal("rebuild / eventsourcing's projection runner", ratio(rates, peer_rates) if last else None, 50.0)
    )
    section.notes.append(
        f"Ours: {scale.events:,} events, both projectors, beside the live tables, the swap included."
        f" The peer: {scale.peer_events:,} events into one table of the same columns."
    )
    return section


def peer_fill(events: int) -> int:
    """Record that many events of one listener; returns the last notification's id."""
    app: Any = peer.application()
    who = peer.listener(app)
    for first in range(0, events, CHUNK):
        # with 5,000 in one pipeline it comes to a deadlock with the server
        recordings = app.events.put(peer.plays(who, min(CHUNK, events - first), first))
    return int(recordings[-1].notification.id)
