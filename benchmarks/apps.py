"""gpodder's protocol as podcast apps use it: first syncs, polls, growing histories. (`peer` compares it with
oPodSync.)"""

import http.client
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from ipaddress import ip_network
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from benchmarks import environment, hour, instance, origin, processor, refreshing, sample
from benchmarks.instance import Web
from benchmarks.report import Goal, Section, number, quantile
from benchmarks.scale import Scale
from eventstore import entries, log
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.messages import Origin
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.topics import STATE_SCHEMA

BATCH = 30
FEEDS = 100
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
# actions per episode in a stored long history
EACH = 10
CHUNK = 5_000
TEN_MINUTES = 600.0
COUNT_WRITTEN = "SELECT (SELECT count(*) FROM system.sync_marks) + (SELECT count(*) FROM events.events)"
WARM_UP = 5
# seconds: less than any server keeps an idle connection open
IDLE = 2.0


class Cost(NamedTuple):
    """The cost of requests: ``ms`` of each by the clock, and the processor time per request of the web
    processes and of PostgreSQL, in milliseconds."""

    ms: list[float]
    web: float
    postgresql: float

    @property
    def processor(self) -> float:
        return self.web + self.postgresql

    def cells(self) -> list[str]:
        figures = (median(self.ms), quantile(self.ms, 0.99), self.web, self.postgresql)
        return [number(figure) for figure in figures]


class Who(NamedTuple):
    user_id: UUID
    name: str
    cookie: str


class App:
    """An app that has signed in, with a connection that it keeps open: the same for both servers."""

    def __init__(self, address: str, name: str, cookie: str, pids: Mapping[str, int]) -> None:
        self.pids, self.used = pids, 0.0
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        self.actions, self.feeds = f"/api/2/episodes/{name}.json", f"/api/2/subscriptions/{name}/phone.json"
        self.headers = {"Cookie": cookie, "User-Agent": "AntennaPod/3.11"}

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[float, bytes]:
        """Return the milliseconds until the last byte, and the body. Raises ``RuntimeError`` if the status is
        not 200."""
        if time.perf_counter() - self.used > IDLE:
            # servers close idle connections
            self.connection.close()
        began = time.perf_counter()
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        self.used = time.perf_counter()
        taken = (self.used - began) * 1_000
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return taken, content

    def upload(self, first: int, count: int) -> float:
        return self.ask("POST", self.actions, _body(first, count))[0]

    def head(self) -> int:
        """Return the ``since`` after which nothing is new."""
        since = json.loads(self.ask("GET", f"{self.actions}?since=0")[1])["timestamp"]
        return int(since)


def run(scale: Scale) -> Section:
    columns = ["", "p50 ms", "p99 ms", "web CPU ms", "PostgreSQL CPU ms"]
    section = Section("Podcast apps, gpodder's protocol", columns)
    environment.empty()
    stored = scale.actions[0]
    with instance.projector():
        _uploads(section, scale)
        _reads(section, scale)
        _polls(section, scale)
    _growth(section, scale)
    section.notes.append(
        f"One request after the other over one connection; a request's processor time is that of all web"
        f" processes, and of all of PostgreSQL. Reads are of {stored:,} stored actions, {EACH} of each"
        " episode."
    )
    return section


# uploads


def _uploads(section: Section, scale: Scale) -> None:
    """Upload 10,000 actions at once, and the same number in batches as AntennaPod sends them."""
    count, first = scale.upload, 0
    at_once, small = [], []
    with instance.web() as server:
        app = new_app(server)
        for _ in range(scale.app_rounds):
            at_once.append(cost(app.pids, partial(send_at_once, app, first, count)))
            _check_readable(app, first, count)
            small.append(cost(app.pids, partial(send_in_batches, app, first + count, count)))
            first += 2 * count
    section.rows.append([f"POST of {count:,} actions", *_together(at_once).cells()])
    section.rows.append([f"POST of {BATCH}, {count // BATCH} times", *_together(small).cells()])
    whole = median(sum(each.ms) for each in small) / 1_000
    section.goals += [
        Goal(f"{count:,} actions in one POST", p50(at_once) / 1_000, 1.0, at_most=True, unit=" s"),
        Goal(f"{count:,} actions, {BATCH} a request", whole, 8.0, at_most=True, unit=" s"),
    ]


def send_at_once(app: App, first: int, count: int) -> list[float]:
    return [app.upload(first, count)]


def _check_readable(app: App, first: int, count: int) -> None:
    """Check that what was uploaded can be read at once. Raises ``RuntimeError``."""
    found = len(json.loads(app.ask("GET", f"{app.actions}?since=0")[1])["actions"])
    if found != first + count:
        raise RuntimeError(f"{found:,} actions of {first + count:,}")


def send_in_batches(app: App, first: int, count: int) -> list[float]:
    return [app.upload(first + start, min(BATCH, count - start)) for start in range(0, count, BATCH)]


# reads


def _reads(section: Section, scale: Scale) -> None:
    count = scale.actions[0]
    (who,) = _listeners(1)
    store(who.user_id, count)
    with instance.web() as server:
        app = _app(server, who)
        _at_the_head(section, scale, app)
        before = server.peak_mib()
        whole, aggregated = (_rounds(scale, app, query) for query in ("since=0", "since=0&aggregated=true"))
        more = server.peak_mib() - before
    section.rows.append([f"GET since=0, {count:,} actions", *_together(whole).cells()])
    section.rows.append(["GET since=0, aggregated", *_together(aggregated).cells()])
    section.goals += [
        Goal(f"GET since=0 of {count:,}", p50(whole) / 1_000, 1.0, at_most=True, unit=" s"),
        Goal("more memory for it", more, 50.0, at_most=True, unit=" MiB"),
        Goal("aggregated=true of it", p50(aggregated) / 1_000, 0.5, at_most=True, unit=" s"),
    ]


def _at_the_head(section: Section, scale: Scale, app: App) -> None:
    """Measure the usual poll, which finds nothing new."""
    path = f"{app.actions}?since={app.head()}"
    written = _written()
    polls = [cost(app.pids, partial(gets, app, path, scale.polls)) for _ in range(scale.app_rounds)]
    rows = _written() - written
    section.rows.append(["GET at the head", *_together(polls).cells()])
    slowest = quantile([ms for each in polls for ms in each.ms], 0.99)
    section.goals += [
        Goal("GET at the head, p50", p50(polls), 5.0, at_most=True, unit=" ms"),
        Goal("GET at the head, p99", slowest, 15.0, at_most=True, unit=" ms"),
        Goal("rows written by GETs at the head", rows, 0, at_most=True),
    ]


def _rounds(scale: Scale, app: App, query: str) -> list[Cost]:
    return [cost(app.pids, partial(gets, app, f"{app.actions}?{query}", 1)) for _ in range(scale.app_rounds)]


def gets(app: App, path: str, count: int) -> list[float]:
    return [app.ask("GET", path)[0] for _ in range(count)]


# polls by many apps


def _polls(section: Section, scale: Scale) -> None:
    """Every app polls for podcasts and actions while feeds are being refreshed."""
    from django.conf import settings

    seconds, count = scale.poll_seconds, scale.polling_apps
    settings.FEED_ALLOW_NETWORKS = [ip_network("127.0.0.0/8")]
    with origin.served() as port, instance.web() as server:
        settings.FEED_PORTS = [port]
        apps, pids = [_polling(_app(server, who)) for who in _listeners(count)], _pids(server)
        alone = cost(pids, partial(_poll_all, apps, 0.0))
        hour.fill(scale.polled_feeds, seconds, port)
        environment.let_go()
        # a process of its own, which takes no time from the clients
        pump = multiprocessing.get_context("fork").Process(target=hour.refresh_for, args=[seconds])
        pump.start()
        beside = cost(pids, partial(_poll_all, apps, seconds))
        pump.join()
    refreshing.empty()
    section.rows.append([f"polls of {count} apps, one after the other", *alone.cells()])
    section.rows.append(
        [f"the same within {seconds:g} s, beside {scale.polled_feeds:,} feeds", *beside.cells()]
    )
    share = len(alone.ms) * (alone.web + alone.postgresql) / 1_000 / TEN_MINUTES
    text = f"{count} apps every ten minutes, of a processor"
    section.goals.append(Goal(text, 100 * share, 1.0, at_most=True, unit=" %"))


def _polling(app: App) -> tuple[App, str, str]:
    """Return an app that follows a podcast and has listened to it, with the paths of its next polls."""
    app.ask("POST", app.feeds, json.dumps({"add": [_feed(0)], "remove": []}).encode())
    app.upload(0, BATCH)
    since = app.head()
    return app, f"{app.feeds}?since={since}", f"{app.actions}?since={since}"


def _poll_all(apps: Sequence[tuple[App, str, str]], seconds: float) -> list[float]:
    """Poll with all apps once, spread over so many seconds."""
    began, taken = time.monotonic(), []
    for place, (app, *paths) in enumerate(apps):
        time.sleep(max(0.0, began + place * seconds / len(apps) - time.monotonic()))
        taken += [app.ask("GET", path)[0] for path in paths]
    return taken


# growth


def _growth(section: Section, scale: Scale) -> None:
    """POST 30 actions with more and more of them stored."""
    found: dict[int, Cost] = {}
    for stored in sorted(scale.actions):
        environment.empty()
        (who,) = _listeners(1)
        store(who.user_id, stored)
        with instance.web() as server:
            app = _app(server, who)
            send_in_batches(app, stored, BATCH * WARM_UP)
            posts = partial(send_in_batches, app, 2 * stored, scale.growth_posts * BATCH)
            found[stored] = cost(app.pids, posts)
        section.rows.append([f"POST of {BATCH}, {stored:,} stored", *found[stored].cells()])
    least, most = min(found), max(found)
    text = f"POST of {BATCH}, {most:,} stored / {least:,}"
    section.goals += [
        Goal(f"{text}: p50", median(found[most].ms) / median(found[least].ms), 1.3, at_most=True),
        Goal(f"{text}: processor", found[most].processor / found[least].processor, 1.3, at_most=True),
    ]


def store(user_id: UUID, count: int) -> None:
    """Store so many plays of a new listener, and the state that is kept of them: the result of years of
    use."""
    stream = log.stream_of(user_id)
    latest: dict[str, PlayRecorded] = {}
    for first in range(0, count, CHUNK):
        events = [_play(user_id, n, count // EACH) for n in range(first, min(first + CHUNK, count))]
        log.append(stream, first, events, Origin("s:filled", "laptop"))
        latest |= {event.rss_source_item: event for event in events}
    with entries.blocked_appends():
        kept = (sample.entry(event) for event in latest.values())
        entries.replace(stream, kept, STATE_SCHEMA)
    environment.settle()
    environment.let_go()


def _play(user_id: UUID, number: int, episodes: int) -> PlayRecorded:
    """Return a play as it is stored; the numbers go through the episodes again and again."""
    of = number % max(episodes, 1)
    return PlayRecorded(
        user_id=user_id,
        rss_source_feed=feed_of_url(_feed(of)),
        rss_source_item=_item(of),
        position=600 + number // max(episodes, 1),
        played=False,
        started=0,
        total=1_800,
        device="laptop",
        played_at=BEGAN + timedelta(seconds=number),
    )


@lru_cache(maxsize=100_000)
def _item(number: int) -> str:
    return item_of(f"guid-{number}", _audio(number))


# what is sent, and who sends it


def _body(first: int, count: int) -> bytes:
    return json.dumps([_action(number) for number in range(first, first + count)]).encode()


def _action(number: int) -> dict[str, Any]:
    at = BEGAN + timedelta(seconds=number)
    return {
        "podcast": _feed(number),
        "episode": _audio(number),
        "guid": f"guid-{number}",
        "device": "phone",
        "action": "play",
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S"),
        "started": 0,
        "position": 600,
        "total": 1_800,
    }


def _feed(number: int) -> str:
    return f"https://shows.example/{number % FEEDS}.xml"


def _audio(number: int) -> str:
    return f"https://audio.example/{number % FEEDS}/{number}.mp3"


def _app(server: Web, who: Who) -> App:
    return App(server.url, who.name, who.cookie, _pids(server))


def _listeners(count: int) -> list[Who]:
    """Return new listeners, each with an app that has signed in."""
    from accounts import app_login
    from accounts.app_models import AppPassword
    from accounts.models import User

    now, made = datetime.now(UTC), []
    for user in User.objects.filter(pk__in=[one.user_id for one in instance.listeners(count)]):
        password, _ = AppPassword.objects.issue(user.pk, "AntennaPod", now)
        who = app_login.SignedIn(user.pk, user.username_key, password.pk)
        cookie = app_login.open_session(who, "AntennaPod", now)
        made.append(Who(user.pk, user.username, f"sessionid={cookie}"))
    return made


def new_app(server: Web) -> App:
    """Return an app of a new listener."""
    return _app(server, *_listeners(1))


# figures


def cost(pids: Mapping[str, int], requests: Callable[[], list[float]]) -> Cost:
    """Send requests and return their cost to a server: the time of each, and the processor time per
    request."""
    began = processor.used(pids)
    ms = requests()
    used = processor.used(pids)
    each = {name: 1_000 * (used[name] - began[name]) / len(ms) for name in pids}
    return Cost(ms, each["web"], each.get("PostgreSQL", 0.0))


def _pids(server: Web) -> dict[str, int]:
    return {"web": server.process.pid, "PostgreSQL": processor.servers()["PostgreSQL"]}


def _together(costs: Sequence[Cost]) -> Cost:
    """Return all requests of several rounds, and the median of the processor time over the rounds."""
    ms = [one for each in costs for one in each.ms]
    return Cost(ms, median(each.web for each in costs), median(each.postgresql for each in costs))


def p50(costs: Sequence[Cost]) -> float:
    return median(_together(costs).ms)


def _written() -> int:
    with environment.connect() as connection:
        ((rows,),) = connection.execute(COUNT_WRITTEN)
    return int(str(rows))
