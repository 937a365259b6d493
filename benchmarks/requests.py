"""Requests to the web process as the Procfile starts it: from wrk, with signed tokens, an item each."""

import sys
from statistics import median

from benchmarks import environment, instance, podcasts, wrk
from benchmarks.report import Goal, Section, number
from benchmarks.scale import Scale
from benchmarks.wrk import CONNECTIONS, Run

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
    podcasts.follow([listener.user_id for listener in who], FOLLOWED)
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


def row(name: str, runs: list[Run]) -> list[str]:
    """The median of each figure."""
    figures = zip(*((run.per_second, run.p50, run.p99, run.cpu) for run in runs), strict=True)
    return [name, *(number(median(values)) for values in figures)]
