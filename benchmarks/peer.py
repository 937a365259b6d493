"""A comparison with oPodSync: the same listeners, podcasts and clients, in turns, in one run.

Each server is asked for the same data through its own API, and with identical requests through gpodder's
protocol. Rounds alternate, and none begins before both servers have finished the work of the one before. A
ratio is the median of the rounds' ratios, because a slow minute of the machine affects both sides.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import NamedTuple

from benchmarks import apps, environment, instance, opodsync, podcasts, processor, syncs, wrk
from benchmarks.apps import App
from benchmarks.instance import Listener, Web
from benchmarks.report import Goal, Section, number, ratio
from benchmarks.scale import Scale
from benchmarks.wrk import CONNECTIONS, Run, Target

LISTENERS, KNOWN, FOLLOWED, WORKERS = 16, 2_000, 100, 4
OTHERS = (1, 32, 128)
COLUMNS = ("", "oPodSync", "Balados", "ratio", "goal", "")
FIGURES = {"per_second": "requests/s", "p99": "p99 ms", "cpu": "CPU ms/request"}
LOADS = ("", "connections", *(f"{who}: {what}" for what in FIGURES.values() for who in COLUMNS[1:3]))
# one action, as AntennaPod sends it
ACTION = (
    '[{"podcast":"https://example.org/rss","episode":"https://cdn.example.org/a/<number>.mp3",'
    '"guid":"<number>","device":"phone","action":"play","timestamp":"2026-11-20T08:00:00","started":0,'
    '"position":<position>,"total":1800}]'
)
# seconds of the trial that shows how many workers suit the peer
TRIAL = 2
# an idle server uses fewer seconds of processor time than this in a fifth of a second
IDLE = 0.02


class Contender(NamedTuple):
    """A server and the requests to it: ``plays`` is where plays are sent, ``lists`` where subscriptions are
    requested, and ``body`` is that of a play."""

    url: str
    pids: list[int]
    plays: list[Target]
    lists: list[Target]
    body: str
    closes: bool

    def play(self, seconds: float, connections: int) -> Run:
        return self._load(self.plays, seconds, connections, self.body)

    def list(self, seconds: float, connections: int) -> Run:
        return self._load(self.lists, seconds, connections, "")

    def _load(self, clients: Sequence[Target], seconds: float, connections: int, body: str) -> Run:
        run = wrk.load(
            self.url, self.pids, clients, seconds, body, connections=connections, closes=self.closes
        )
        _let_finish(self.pids)
        return run


class Compared(NamedTuple):
    """Figures of interleaved rounds; ``theirs`` is empty if there is no peer."""

    text: str
    theirs: list[float]
    ours: list[float]
    wanted: float
    at_most: bool = True
    unit: str = ""

    def goal(self) -> Goal:
        found = ratio(self.ours, self.theirs) if self.theirs else None
        return Goal(self.text, found, self.wanted, self.at_most)

    def row(self) -> list[str]:
        goal = self.goal()
        figures = [
            number(median(values)) + self.unit if values else "–" for values in (self.theirs, self.ours)
        ]
        return [self.text, *figures, "–" if goal.got is None else f"{goal.got:.2f}", goal.limit, goal.verdict]


Work = Callable[[], list[float]]


def run(scale: Scale) -> Section:
    section = Section("Beside oPodSync", COLUMNS, goals_in_rows=True)
    environment.empty()
    podcasts.fill(KNOWN, 1, covers=True)
    who = instance.listeners(LISTENERS)
    podcasts.follow([one.user_id for one in who], FOLLOWED)
    environment.settle()
    environment.let_go()
    compared = []
    with instance.projector() as projector, instance.web() as server:
        _let_projector_finish()
        if wrk.PROGRAM:
            with _peer(WORKERS) as several, _peer(1) as single:
                both = (
                    _ours(server, projector, who),
                    _faster(_theirs(several, 1), _theirs(single, LISTENERS)),
                )
                compared += _loads(section, [each for each in both if each is not None], scale)
        with _peer(1) as peer:
            compared += _at_once(server, peer, scale)
            compared += _apps(server, peer, scale)
    section.rows = [each.row() for each in compared]
    section.goals = [each.goal() for each in compared]
    section.notes = _notes()
    return section


@contextmanager
def _peer(workers: int) -> Iterator[opodsync.Running | None]:
    """Run the peer, or yield None if it is missing. With several ``workers``, even a single client that sends
    one request after the other sometimes finds the database locked."""
    if opodsync.missing():
        yield None
        return
    names = [f"listener{place}" for place in range(LISTENERS)]
    with opodsync.running(FOLLOWED, 0, workers, names, KNOWN) as running:
        yield running


def _ours(server: Web, projector: int, who: Sequence[Listener]) -> Contender:
    pids = [server.process.pid, projector, *processor.servers().values()]
    plays = wrk.targets("/api/v1/plays", who)
    lists = wrk.targets(f"/api/v1/subscriptions?limit={FOLLOWED}", who)
    return Contender(server.url, pids, plays, lists, wrk.PLAY, closes=False)


def _theirs(peer: opodsync.Running | None, sessions: int) -> Contender | None:
    """Return the peer as a contender. ``sessions`` is the number of listeners who send requests; with several
    workers it must be one, because all but one of several at once would be refused (``opodsync.running``)."""
    if peer is None:
        return None
    who = [(f"listener{place}", {"Cookie": peer.cookies[place]}) for place in range(sessions)]
    plays = [Target(f"/api/2/episodes/{name}.json", cookie) for name, cookie in who]
    lists = [Target(f"/subscriptions/{name}.json", cookie) for name, cookie in who]
    return Contender(peer.address, [peer.pid], plays, lists, ACTION, closes=True)


def _faster(*contenders: Contender | None) -> Contender | None:
    """Return the contender that answers more requests, so that the peer is measured at its best on this
    machine."""
    here = [each for each in contenders if each is not None]
    return max(here, key=lambda each: each.list(TRIAL, CONNECTIONS).per_second, default=None)


# many requests at once


def _loads(section: Section, both: Sequence[Contender], scale: Scale) -> list[Compared]:
    """Measure with 8 connections, to which the goals apply, and with other numbers for comparison."""
    for each in both:  # warm-up: a server that has run for a minute has connections and prepared statements
        each.play(min(scale.request_seconds, 3), CONNECTIONS)
        each.list(1, CONNECTIONS)
    plays, lists = {}, {}
    most, short = scale.request_seconds, min(scale.request_seconds, 3)
    for connections, rounds, seconds in (
        (CONNECTIONS, scale.request_rounds, most),
        *((each, 1, short) for each in OTHERS),
    ):
        plays[connections] = [[each.play(seconds, connections) for each in both] for _ in range(rounds)]
        lists[connections] = [[each.list(seconds, connections) for each in both] for _ in range(rounds)]
    table = [
        [text, str(connections), *_side_by_side(found[connections])]
        for text, found in (("POST one play", plays), (f"GET {FOLLOWED} subscriptions", lists))
        for connections in sorted(found)
    ]
    section.more.append((LOADS, table))
    at_eight = lists[CONNECTIONS]
    return [
        _compared("POST one play, requests/s", plays[CONNECTIONS], "per_second", 2, at_most=False),
        _compared("the same, p99", plays[CONNECTIONS], "p99", 1, unit=" ms"),
        _compared(f"GET {FOLLOWED} subscriptions, requests/s", at_eight, "per_second", 2.5, at_most=False),
    ]


def _side_by_side(rounds: Sequence[Sequence[Run]]) -> Iterator[str]:
    """Yield the median of each figure, the peer's first."""
    ours, *theirs = zip(*rounds, strict=True)
    for name in FIGURES:
        for runs in (*theirs, ours) if theirs else ((), ours):
            yield number(median(getattr(one, name) for one in runs)) if runs else "–"


def _compared(
    text: str,
    rounds: Sequence[Sequence[Run]],
    figure: str,
    wanted: float,
    *,
    at_most: bool = True,
    unit: str = "",
) -> Compared:
    ours, *theirs = ([getattr(one, figure) for one in runs] for runs in zip(*rounds, strict=True))
    return Compared(text, theirs[0] if theirs else [], ours, wanted, at_most, unit)


# much in one request


def _at_once(server: Web, peer: opodsync.Running | None, scale: Scale) -> list[Compared]:
    """Measure everything that a device knows, sent in one request and fetched by another; each round has a
    new listener."""
    entries = scale.upload
    came_in: list[list[float]] = [[], []]
    came_out: list[list[float]] = [[], []]
    for turn in range(scale.app_rounds):
        (who,) = instance.listeners(1)
        payload = syncs.body(entries, turn * entries, None)
        came_in[0].append(_timed(partial(syncs.sync, server, who, payload)))
        _let_projector_finish()
        empty = syncs.body(0, 0, None)
        came_out[0].append(_middle(partial(syncs.sync, server, who, empty)))
        if (app := _app_of(peer, 1 + turn)) is not None:
            came_in[1].append(app.upload(0, entries) / 1_000)
            came_out[1].append(_middle(partial(app.ask, "GET", f"{app.actions}?since=0")))
    return [
        Compared(f"{entries:,} plays in, one request", came_in[1], came_in[0], 1, unit=" s"),
        Compared("everything out", came_out[1], came_out[0], 0.5, unit=" s"),
    ]


def _middle(work: Callable[[], object]) -> float:
    """Return the median seconds of three runs: the first may be handled by a process that has not seen the
    listener yet."""
    return median(_timed(work) for _ in range(3))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# gpodder's protocol


def _apps(server: Web, peer: opodsync.Running | None, scale: Scale) -> list[Compared]:
    """Measure what podcast apps send, with one client for both servers."""
    ours, theirs = apps.new_app(server), _app_of(peer, 4)
    entries, stored = scale.upload, scale.actions[0]
    whole = _rounds(ours, theirs, scale, lambda app, first: apps.send_at_once(app, first, entries))
    small = _rounds(
        ours, theirs, scale, lambda app, first: apps.send_in_batches(app, 10 * entries + first, entries)
    )
    apps_here = [app for app in (ours, theirs) if app is not None]
    for app in apps_here:
        for first in range(2 * scale.app_rounds * entries, stored, entries):
            app.upload(20 * entries + first, entries)
    _let_projector_finish()
    everything = _rounds(ours, theirs, scale, lambda app, _: apps.gets(app, f"{app.actions}?since=0", 1))
    heads = {app: _head_of(app) for app in apps_here}
    polls = _rounds(ours, theirs, scale, lambda app, _: apps.gets(app, heads[app], scale.polls))
    return [
        Compared(f"gpodder: {entries:,} actions in one POST", whole[1], whole[0], 3, unit=" ms"),
        Compared(f"gpodder: POST of {apps.BATCH} actions", small[1], small[0], 1.5, unit=" ms"),
        Compared(f"gpodder: GET of all {stored:,} actions", everything[1], everything[0], 1.5, unit=" ms"),
        Compared("gpodder: GET, nothing new (a poll)", polls[1], polls[0], 0.2, unit=" ms"),
    ]


def _rounds(
    ours: App, theirs: App | None, scale: Scale, work: Callable[[App, int], list[float]]
) -> tuple[list[float], list[float]]:
    """Return the median of each round, for both servers in turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(scale.app_rounds):
        for app, figures in zip((ours, theirs), found, strict=True):
            if app is not None:
                figures.append(median(work(app, turn * scale.upload)))
        _let_projector_finish()
    return found


def _head_of(app: App) -> str:
    """Return the address with which an app polls when nothing is new."""
    return f"{app.actions}?since={app.head()}"


def _app_of(peer: opodsync.Running | None, place: int) -> App | None:
    if peer is None:
        return None
    return App(peer.address, f"listener{place}", peer.cookies[place], {"web": peer.pid})


def _let_finish(pids: Sequence[int]) -> None:
    """Wait until the server has finished the requests whose answers wrk did not wait for, and until the
    projector has caught up."""
    _let_projector_finish()
    used = -1.0
    while (now := sum(map(processor.seconds, pids))) > used + IDLE:
        used = now
        time.sleep(0.2)


def _let_projector_finish() -> None:
    """Wait for the projector, so that no measurement includes the remaining work of the one before."""
    from eventstore.log import head
    from projections import queries

    for name in ("subscriptions", "plays", "public_events"):
        queries.wait_for(name, head(), 300)


def _notes() -> list[str]:
    notes = [each for each in (opodsync.missing(), None if wrk.PROGRAM else wrk.MISSING) if each]
    if opodsync.missing() is None:
        notes.append(
            f"oPodSync on {opodsync.versions()}: for many connections {WORKERS} workers and one session, or"
            " one worker and all sessions, whichever was faster in a trial; else one worker."
        )
    notes.append(
        f"{LISTENERS} listeners, each following {FOLLOWED} of {KNOWN:,} podcasts with titles and covers."
        " Processor time is that of all processes of a server, PostgreSQL, Redis and the projector included;"
        " wrk shares the machine."
    )
    return notes
