"""The pages of a listener of 300 podcasts: queries, time, size, and when Chromium has painted them."""

import gzip
import http.client
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from benchmarks import environment, instance, opodsync, podcasts
from benchmarks.instance import Web
from benchmarks.podcasts import Known, audio_of, url_of
from benchmarks.report import Goal, Section, middle, number, quantile
from benchmarks.scale import Scale
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.playlists import PlaylistEntry, PlaylistItemEntry, queue_id
from eventstore.domain.plays import PlayEntry
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncUserData
from eventstore.log import head, known_stream, read_history

FEEDS, QUEUED = 300, 30
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MOST_QUERIES, MOST_MS, MOST_HTML, MOST_OWN = 12, 40.0, 60.0, 60.0
PAINT = """() => new Promise(done => {
    const read = list => done(list.getEntries().at(-1).startTime);
    new PerformanceObserver(read).observe({type: "largest-contentful-paint", buffered: true});
})"""
ROOT = Path(__file__).parent.parent


class Measured(NamedTuple):
    """One page: ``ms`` of each request, ``cpu`` milliseconds of the server per request, ``size`` in KiB,
    compressed."""

    path: str
    queries: int
    ms: list[float]
    cpu: float
    size: float


def run(scale: Scale) -> Section:
    columns = [
        "page",
        "queries",
        "ms, median",
        "ms, p99",
        "server CPU ms",
        "KiB compressed",
        "requests",
        "LCP ms",
    ]
    section = Section(f"Pages of a listener of {FEEDS} podcasts", columns)
    environment.empty()
    (who,) = instance.listeners(1)
    cookie = log_in(who.user_id)
    episodes = podcasts.fill(FEEDS, scale.page_episodes)
    live(who.user_id, episodes, scale.page_plays)
    environment.settle()
    load = os.getloadavg()[0]
    environment.let_go()
    with instance.projector(), instance.web() as server:
        wait_until_projected()
        paths = pages(who.user_id)
        counted = {path: queries_of(path, cookie) for path in paths}
        environment.let_go()
        measured = [measure(server, path, cookie, counted[path], scale.page_rounds) for path in paths]
        seen = paints(server, paths, cookie)
    section.rows = [_row(each, *seen.get(each.path, (None, None))) for each in measured]
    section.goals = goals(measured)
    section.notes.append(
        f"{FEEDS} podcasts with {len(episodes):,} episodes, {scale.page_plays:,} plays. One request after the"
        f" other over loopback, {scale.page_rounds} of each page; web, projector, PostgreSQL and Chromium"
        f" share the machine, whose load was {load:.1f} before. Ratios are of the limit."
    )
    _beside(section, measured, scale)
    return section


def pages(user_id: UUID) -> list[str]:
    """Return the pages that every listener opens, one podcast and one episode from the middle, and the
    preview of undoing the newest event."""
    newest = read_history(known_stream(user_id) or 0, limit=1)[0]
    feed = _in_path(feed_of_url(url_of(FEEDS // 2)))
    item = _in_path(item_of("episode-1", audio_of(FEEDS // 2, 1)))
    return [
        "/",
        "/subscriptions",
        "/subscriptions?q=show+1&sort=title",
        f"/podcasts/{feed}",
        f"/podcasts/{feed}?unplayed=on",
        f"/podcasts/{feed}/older",
        f"/episodes/{item}?feed={feed}",
        "/history",
        f"/history?kind=plays&feed={feed}",
        f"/history/{newest.event_id}/undo",
        "/history/undo-since",
        "/statistics",
        "/queue",
        "/playlists",
        "/collections",
        "/privacy-manager",
        "/apps",
        "/settings/account",
        "/search?q=show",
        "/trending/podcasts",
        "/timeline",
    ]


def live(user_id: UUID, episodes: Sequence[Known], plays: int) -> None:
    """Follow all podcasts and hear so many episodes, synced in parts as a device would do it."""
    phone = Origin(app_id=instance.APP, device_id="phone-000001", device_name="Alice's phone")
    now = datetime.now(UTC)
    follows = [SubscriptionEntry(feed_of_url(url_of(show)), None, BEGIN, None) for show in range(FEEDS)]
    dispatch(SyncUserData(user_id=user_id, now=now, subscriptions=follows), phone)
    step = max(1, len(episodes) // max(plays, 1))
    heard = [
        PlayEntry(
            episode.feed,
            episode.item,
            600,
            (episode.show + episode.place) % 10 > 0,
            now - timedelta(minutes=20 * (index + 1)),  # spread over nine months, for the statistics
            started=0,
            total=1_800,
        )
        for index, episode in enumerate(list(episodes)[::step][:plays])
    ]
    for start in range(0, len(heard), 2_000):
        part = heard[start : start + 2_000]
        dispatch(SyncUserData(user_id=user_id, now=now, play_statuses=part), phone)
    queued = [PlaylistItemEntry(each.feed, each.item, added_at=now) for each in episodes[:QUEUED]]
    queue = PlaylistEntry(queue_id(user_id), "", now, items=queued)
    dispatch(SyncUserData(user_id=user_id, now=now, playlists=[queue]), phone)


def log_in(user_id: UUID) -> str:
    """Return the session cookie of a browser of that listener."""
    from django.conf import settings

    client = _client(user_id)
    client.get("/")
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def wait_until_projected() -> None:
    from projections import queries

    for projector in ("subscriptions", "plays", "collections", "playlists", "listening", "public_events"):
        queries.wait_for(projector, head(), 300)


def queries_of(path: str, cookie: str) -> int:
    """Return how many statements a page takes in this process, the second time that it is opened."""
    from django.test import Client

    client = Client(headers={"Cookie": cookie}, HTTP_HOST="localhost")
    client.get(path)
    with counted() as sent:
        client.get(path)
    return len(sent)


@contextmanager
def counted() -> Iterator[list[object]]:
    """Collect the statements that are sent within the block."""
    import psycopg

    from eventstore.prepared import Prepared

    sent: list[object] = []
    execute, rows = psycopg.Cursor.execute, Prepared.rows

    def counting(cursor: Any, *args: Any, **options: Any) -> Any:
        sent.append(args[0])
        return execute(cursor, *args, **options)

    def counting_rows(prepared: Any, *args: Any) -> Any:
        sent.append(prepared)
        return rows(prepared, *args)

    psycopg.Cursor.execute = counting  # type: ignore[method-assign,assignment]
    Prepared.rows = counting_rows  # type: ignore[method-assign,assignment]
    try:
        yield sent
    finally:
        psycopg.Cursor.execute = execute  # type: ignore[method-assign]
        Prepared.rows = rows  # type: ignore[method-assign]


def measure(server: Web, path: str, cookie: str, queries: int, rounds: int) -> Measured:
    ms, size = requests(server.url, path, cookie, 3)
    before = server.cpu_seconds()
    ms, size = requests(server.url, path, cookie, rounds)
    cpu = (server.cpu_seconds() - before) * 1_000 / rounds
    return Measured(path, queries, ms, cpu, size)


def requests(address: str, path: str, cookie: str, rounds: int) -> tuple[list[float], float]:
    """Return the milliseconds of each request, and the KiB of the page, compressed as a proxy does."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=instance.PATIENCE)
    ms, body = [], b""
    for _ in range(rounds):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        ms.append((time.perf_counter() - began) * 1_000)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
    connection.close()
    return ms, len(gzip.compress(body)) / 1024


def paints(server: Web, paths: Sequence[str], cookie: str) -> dict[str, tuple[int, float]]:
    """Return the requests and the largest contentful paint of each page in a fresh Chromium; {} if there is
    no Chromium."""
    program = shutil.which(os.environ.get("CHROMIUM") or "chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if program is None:
        return {}
    name, value = cookie.split("=", 1)
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for path in paths:
            context = browser.new_context(viewport={"width": 390, "height": 844})
            context.add_cookies([{"name": name, "value": value, "url": server.url}])
            page, asked = context.new_page(), list[object]()
            note: Callable[[object], None] = partial(_note, asked)
            page.on("request", note)
            page.goto(f"{server.url}{path}", wait_until="load")
            found[path] = len(asked), float(page.evaluate(PAINT))
            context.close()
        browser.close()
    return found


def _note(asked: list[object], request: object) -> None:
    asked.append(request)


def goals(measured: Sequence[Measured]) -> list[Goal]:
    """Return the goals: for each limit, the largest value of all pages, as a share of the limit."""
    own = own_kib()
    most = max(measured, key=lambda each: middle(each.ms))
    return [
        Goal("queries of a page", max(each.queries for each in measured) / MOST_QUERIES, 1, at_most=True),
        Goal(f"median of the slowest ({most.path[:40]})", middle(most.ms) / MOST_MS, 1, at_most=True),
        Goal("server CPU of the slowest", max(each.cpu for each in measured) / MOST_MS, 1, at_most=True),
        Goal("HTML, compressed", max(each.size for each in measured) / MOST_HTML, 1, at_most=True),
        Goal("own CSS and JavaScript, compressed", own / MOST_OWN, 1, at_most=True),
    ]


def own_kib() -> float:
    """Return the KiB of all our own style sheets and scripts, compressed one by one."""
    files = [path for path in (ROOT / "static").rglob("*") if path.suffix in (".css", ".js")]
    return sum(len(gzip.compress(path.read_bytes())) for path in files) / 1024


def _beside(section: Section, measured: Sequence[Measured], scale: Scale) -> None:
    """Measure the peer's list of subscriptions in the same run."""
    if missing := opodsync.missing():
        section.notes.append(missing)
        return
    with opodsync.running(FEEDS, scale.page_plays) as peer:
        requests(peer.address, "/subscriptions.php", peer.cookie, 3)
        ms, size = requests(peer.address, "/subscriptions.php", peer.cookie, scale.page_rounds)
    section.rows.append(
        [
            "oPodSync: subscriptions",
            "–",
            number(middle(ms)),
            number(quantile(ms, 0.99)),
            "–",
            number(size),
            "–",
            "–",
        ]
    )
    own = next(each for each in measured if each.path == "/subscriptions")
    section.goals.append(
        Goal("/subscriptions against oPodSync's, median", middle(own.ms) / middle(ms), 1, at_most=True)
    )


def _row(each: Measured, asked: int | None, paint: float | None) -> list[str]:
    times = [number(middle(each.ms)), number(quantile(each.ms, 0.99)), number(each.cpu), number(each.size)]
    shown = each.path if len(each.path) < 45 else f"{each.path[:20]}…{each.path[-16:]}"
    return [shown, str(each.queries), *times, number(asked), number(paint)]


def _client(user_id: UUID) -> Any:
    from django.test import Client

    from accounts.models import User

    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.get(pk=user_id), backend="django.contrib.auth.backends.ModelBackend")
    return client


def _in_path(name: str) -> str:
    return name.rstrip("=").replace("+", "-").replace("/", "_")
