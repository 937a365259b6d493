"""Requests to the web process as the Procfile starts it: from wrk, with signed tokens, an item each."""

import sys
from datetime import UTC, datetime, timedelta
from statistics import median

from benchmarks import environment, instance, sample, wrk
from benchmarks.instance import Listener
from benchmarks.report import Goal, Section, number
from benchmarks.scale import Scale
from benchmarks.wrk import CONNECTIONS, Run
from eventstore import log
from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.subscriptions import UserSubscribed

LISTENERS = 16
FOLLOWED = 30
POST, GET, HELLO = "POST /api/v1/plays", "GET /api/v1/subscriptions", "“hello” by the same server, no Django"
GOAL = 1.2


def run(scale: Scale) -> Section:
    columns = ["", "requests/s", "p50 ms", "p99 ms", "server CPU ms/request"]
    section = Section(f"Requests, {CONNECTIONS} connections", columns)
    if wrk.PROGRAM is None:
        section.notes.append(wrk.MISSING)
        return section
    environment.empty()
    who = instance.listeners(LISTENERS)
    follow(who)
    environment.settle()
    environment.let_go()
    seconds = scale.request_seconds
    with instance.projector():
        with instance.web() as server:
            if scale.request_rounds > 1:  # connections and statements that a server has after a minute
                wrk.run(server, "POST", "/api/v1/plays", who, seconds)
            posts, gets = [], []
            for _ in range(scale.request_rounds):
                posts.append(wrk.run(server, "POST", "/api/v1/plays", who, seconds))
                gets.append(wrk.run(server, "GET", "/api/v1/subscriptions", who, seconds))
        with instance.web([sys.executable, "-m", "benchmarks.hello"]) as server:
            hellos = [wrk.run(server, "GET", "/", who, seconds) for _ in range(scale.request_rounds)]
    section.rows = [row(POST, posts), row(GET, gets), row(HELLO, hellos)]
    cpu = median(run.cpu for run in posts)
    section.goals.append(Goal("server CPU of POST /plays", cpu, GOAL, at_most=True, unit=" ms"))
    section.notes.append(
        f"{LISTENERS} listeners, {FOLLOWED} subscriptions each; web, projector, PostgreSQL, Redis and wrk"
        " share the machine. Server CPU: all web processes, authentication and rate limit included."
    )
    return section


def follow(who: list[Listener]) -> None:
    """Subscriptions to list."""
    begin = datetime.now(UTC) - timedelta(days=1)
    for listener in who:
        events = [
            UserSubscribed(
                user_id=listener.user_id,
                rss_source_feed=feed_of_url(f"https://feeds.example.org/{feed}.xml"),
                subscribed_at=begin + timedelta(seconds=feed),
            )
            for feed in range(FOLLOWED)
        ]
        log.append(log.stream_of(listener.user_id), 0, events, sample.ORIGIN)


def row(name: str, runs: list[Run]) -> list[str]:
    """The median of each figure."""
    figures = zip(*((run.per_second, run.p50, run.p99, run.cpu) for run in runs), strict=True)
    return [name, *(number(median(values)) for values in figures)]
