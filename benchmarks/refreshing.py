"""Refreshing, storing and claiming feeds: ours compared with requests, feedparser and the ORM, and with bare
libcurl."""

import io
import tempfile
import time
from calendar import timegm
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import feedparser
import pycurl
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from benchmarks import environment, origin
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale
from eventstore.domain.identifiers import feed_of_url
from feeds import claims, documents
from feeds import fetch as client
from feeds.decide import Answer, Host, Schedule, schedule_after
from feeds.episodes import Intake, store
from feeds.keys import episode_key
from feeds.models import Episode, Feed, FeedSchedule
from feeds.pump import Pump
from feeds.store import ensure, execute
from feeds.transfer import new_handle
from projections.connect import run as run_raw

THREADS: Final = 12
BATCH: Final = 200
HOSTS: Final = 20
NOW: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
TABLES: Final = "feeds, feed_hosts, feed_schedule, feed_aliases, episodes, episode_items, feed_moves"
WRITTEN: Final = (
    *("guid", "enclosure_url", "enclosure_type", "enclosure_length", "title", "description", "published_at"),
    *("sort_at", "duration", "content_hash"),
)


class Used(NamedTuple):
    """Seconds by the clock, and seconds of this process's processor time, per feed or row."""

    clock: float
    processor: float


def run(scale: Scale) -> Section:
    section = Section("Refreshing feeds", ["", "ours", "peer", "ours / peer", "unit, and who the peer is"])
    big = scale.seconds > 0.5
    rounds = 3 if big else 1
    storing(section, 2_000 if big else 60, rounds)
    claiming(section, 100_000 if big else 400, rounds)
    settings.FEED_ALLOW_NETWORKS = [ip_network("127.0.0.0/8")]
    with origin.served() as port:
        settings.FEED_PORTS = [port]
        unchanged(section, port, 1_000 if big else 20, rounds)
        changed(section, port, 50 if big else 4, rounds)
    with tempfile.NamedTemporaryFile(suffix=".pem") as pem:
        pem.write(certificate())
        pem.flush()
        with origin.served(pem.name) as port, trusted(pem.name):
            settings.FEED_PORTS = [port]
            unchanged_by_tls(section, port, 500 if big else 20, rounds, pem.name)
    empty()
    section.notes.append(
        "Processor time is that of this process alone, PostgreSQL and the origin left out; feeds of 100"
        f" episodes and {len(origin.document(1, 100)) / 1024:,.0f} kB from an origin on loopback, {HOSTS}"
        " hosts. Ratios of interleaved rounds, their medians."
    )
    return section


def storing(section: Section, rows: int, rounds: int) -> None:
    """Measure storing the episodes of one feed."""
    ours: dict[str, list[float]] = {"new": [], "unchanged": [], "one new": []}
    peers: dict[str, list[float]] = {"new": [], "unchanged": [], "one new": []}
    for _ in range(rounds):
        for times, act in ((ours, store_ours), (peers, store_with_orm)):
            empty()
            (feed_id,) = ensure([feed_of_url("https://show.example/feed")], NOW).new
            for name, count in (("new", rows), ("unchanged", rows), ("one new", rows + 1)):
                times[name].append(act(feed_id, episodes(count)))
    for (name, mine), goal in zip(ours.items(), (4.0, 50.0, 50.0), strict=True):
        compare(section, f"storing {rows:,} episodes, {name}", "ms", mine, peers[name], goal, "bulk_create")


def store_ours(feed_id: int, found: Sequence[documents.Episode]) -> float:
    """Return the seconds, without those for digesting the episodes, which is part of reading."""
    began = time.perf_counter()
    intake = Intake(feed_id)
    take = intake.begin()
    seconds = time.perf_counter() - began
    for episode in found:
        take(episode)
    document = documents.Document(
        documents.Channel(title="Show"), len(found), found[-1].published_at, False, []
    )
    began = time.perf_counter()
    with transaction.atomic(using="system"):
        store(intake, document, NOW, episodes_before=0, was_shrunk=False, reader=1)
    return seconds + time.perf_counter() - began


def store_with_orm(feed_id: int, found: Sequence[documents.Episode]) -> float:
    """Store episodes in the usual way: every row is sent, and the database finds out which are new. Returns
    the seconds, as above."""
    rows = [
        Episode(
            feed_id=feed_id,
            key=episode_key(each.guid, each.enclosure_url),
            sort_at=each.published_at or NOW,
            content_hash=b"0" * 16,
            **{name: getattr(each, name) for name in WRITTEN if hasattr(each, name)},
        )
        for each in found
    ]
    began = time.perf_counter()
    with transaction.atomic(using="system"):
        Episode.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["feed", "key"], update_fields=WRITTEN
        )
    return time.perf_counter() - began


def episodes(count: int) -> list[documents.Episode]:
    """Return episodes, the newest first."""
    return [
        documents.Episode(
            guid=f"https://show.example/{place}",
            enclosure_url=f"https://audio.example/{place}.mp3",
            enclosure_type="audio/mpeg",
            title=f"Episode {place}",
            description=origin.TEXT[:1_000],
            published_at=origin.BEGAN - timedelta(days=place - 1),
            duration=2_712,
        )
        for place in range(count)
    ]


def claiming(section: Section, rows: int, rounds: int) -> None:
    """Measure claiming the feeds that are due, and finishing them as unchanged."""
    empty()
    fill_schedule(rows)
    part = min(rows // 2, 10 * BATCH)
    ours, peers = [], []
    for _ in range(rounds):
        make_due(part)
        ours.append(timed(partial(claim_and_finish, part)) / part)
        make_due(part)
        few = max(part // 20, 10)
        peers.append(timed(partial(save_each, few)) / few)
    rate = "claiming and finishing, batches of 200"
    compare(section, f"{rate}, {rows:,} rows", "µs/feed", ours, peers, 10.0, "ORM save()")


def claim_and_finish(count: int) -> None:
    now = timezone.now()
    for _ in range(count // BATCH or 1):
        found = claims.claim_due(now, 0, 1, most=BATCH)
        done = [(feed, after(feed.schedule, now)) for feed in found]
        claims.finish(done)


def after(old: Schedule, now: datetime) -> Schedule:
    return schedule_after(old, Answer("ok", 304), Host(1), now, 0.5)


def save_each(count: int) -> None:
    now = timezone.now()
    for row in FeedSchedule.objects.filter(next_at__lte=now).order_by("next_at")[:count]:
        row.fetched_at = row.ok_at = now
        row.next_at = now + timedelta(hours=6)
        row.save()


def unchanged(section: Section, port: int, feeds: int, rounds: int) -> None:
    """Measure feeds whose servers answer 304, over connections that are kept open."""
    known(port, "same", feeds)
    ours, peers, bare = [], [], []
    for _ in range(rounds):
        make_due()
        ours.append(used(lambda: Pump(0, 1, pace=0.0).run(), feeds))
        peers.append(used(lambda: with_requests(feeds, save_unchanged), feeds))
        bare.append(
            used(lambda: with_libcurl(list(Feed.objects.values_list("url", flat=True)[:feeds])), feeds)
        )
    unit, peer = "unchanged, kept connections", f"{THREADS} threads, requests, ORM"
    both(section, unit, ours, peers, clock_goal=5.0, processor_goal=10.0, peer=peer)
    goal = ratio([each.clock for each in bare], [each.clock for each in ours])
    section.goals.append(Goal(f"{unit}: feeds/s of libcurl without a database", goal, 0.25))


def unchanged_by_tls(section: Section, port: int, feeds: int, rounds: int, pem: str) -> None:
    """Measure feeds whose servers answer 304 and close, so that each needs a new TLS connection."""
    known(port, "same", feeds, scheme="https")
    urls = list(Feed.objects.values_list("url", flat=True)[:feeds])
    ours, bare = [], []
    for _ in range(rounds):
        make_due()
        ours.append(used(lambda: Pump(0, 1, pace=0.0).run(), feeds))
        bare.append(used(lambda: with_libcurl(urls, pem), feeds))
    unit, peer = "unchanged, a new TLS connection each", "libcurl without a database"
    both(section, unit, ours, bare, clock_goal=None, processor_goal=None, peer=peer)
    times = ratio([each.processor for each in ours], [each.processor for each in bare])
    section.goals.append(Goal(f"{unit}, processor: of {peer}", times, 1.3, at_most=True))


def certificate() -> bytes:
    """Return a key and its self-signed certificate, for the addresses of the origin's hosts."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    hosts = [x509.IPAddress(ip_address(f"127.0.{1 + place}.1")) for place in range(HOSTS)]
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + signed.public_bytes(pem)


@contextmanager
def trusted(pem: str) -> Iterator[None]:
    """Let the feed client trust this certificate."""

    def handle() -> Any:
        made = new_handle()
        made.setopt(pycurl.CAINFO, pem)
        return made

    with patch.object(client, "new_handle", handle):
        yield


def changed(section: Section, port: int, feeds: int, rounds: int) -> None:
    """Measure feeds with one more episode each time; the peer has the same number of feeds of its own."""
    known(port, "new", 2 * feeds)
    ours: list[Used] = []
    peers: list[Used] = []
    for _ in range(rounds + 1):
        make_due(feeds)
        ours.append(used(Pump(0, 1, pace=0.0).run, feeds))
        peers.append(used(partial(with_requests, feeds, parse_and_store, feeds), feeds))
    peer = f"{THREADS} threads, requests, feedparser, bulk_create"
    both(section, "one new of 100", ours[1:], peers[1:], clock_goal=None, processor_goal=8.0, peer=peer)
    both(section, "first fetch", ours[:1], peers[:1], clock_goal=None, processor_goal=None, peer=peer)
    if find_spec("reader") is None:
        section.notes.append("`reader` is not installed (`pip install .[bench]`): it was not measured.")
        return
    reader = [used(partial(with_reader, port, feeds), feeds)]
    both(section, "first fetch", ours[:1], reader, clock_goal=None, processor_goal=8.0, peer="reader")


def with_reader(port: int, count: int) -> None:
    """Fetch feeds with PyPI's ``reader`` as it works by default: SQLite, feedparser, threads for the
    requests."""
    from reader import make_reader

    with tempfile.TemporaryDirectory() as directory, closing(make_reader(f"{directory}/reader")) as reader:
        for place in range(count):
            reader.add_feed(f"http://127.0.{1 + place % HOSTS}.1:{port}/new/reader-{place}")
        reader.update_feeds(workers=THREADS)
        assert sum(1 for _ in reader.get_entries()) >= 100 * count


def known(port: int, kind: str, count: int, scheme: str = "http") -> None:
    """Make feeds of the origin known; those that do not change are read once."""
    empty()
    urls = [f"{scheme}://127.0.{1 + place % HOSTS}.1:{port}/{kind}/{place}" for place in range(count)]
    ensure([feed_of_url(url) for url in urls], timezone.now() - timedelta(minutes=1), asked=True)
    while kind == "same" and Feed.objects.filter(state="new").exists():
        Pump(0, 1, pace=0.0).run()


def with_requests(count: int, handle: Callable[[Feed, requests.Response], None], first: int = 0) -> None:
    """Fetch feeds in the usual way: a session per thread, one feed after the other."""
    waiting = list(Feed.objects.select_related("schedule").order_by("pk")[first : first + count])

    def work(mine: Sequence[Feed]) -> None:
        with requests.Session() as session:
            for feed in mine:
                headers = {"If-None-Match": feed.schedule.etag}
                handle(feed, session.get(feed.url, headers=headers, timeout=20))
        connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, [waiting[place::THREADS] for place in range(THREADS)]))


def save_unchanged(feed: Feed, answer: requests.Response) -> None:
    assert answer.status_code == 304
    row = feed.schedule
    row.fetched_at = row.ok_at = timezone.now()
    row.next_at = row.fetched_at + timedelta(hours=6)
    row.save()


def parse_and_store(feed: Feed, answer: requests.Response) -> None:
    parsed = feedparser.parse(io.BytesIO(answer.content))
    found = [
        documents.Episode(
            guid=entry.id,
            enclosure_url=entry.enclosures[0].href,
            title=entry.title,
            description=entry.summary,
            published_at=datetime.fromtimestamp(timegm(entry.published_parsed), UTC),
        )
        for entry in parsed.entries
    ]
    store_with_orm(feed.pk, found)


def with_libcurl(urls: Iterable[str], pem: str = "") -> None:
    """Send the requests and do nothing else: no database, no rules, no parsing."""
    multi = pycurl.CurlMulti()
    waiting, running, spare = deque(urls), 0, [pycurl.Curl() for _ in range(100)]
    while waiting or running:
        while spare and waiting:
            handle = spare.pop()
            handle.setopt(pycurl.URL, waiting.popleft())
            if pem:
                handle.setopt(pycurl.CAINFO, pem)
            handle.setopt(pycurl.HTTPHEADER, ['If-None-Match: "same"'])
            handle.setopt(pycurl.WRITEFUNCTION, lambda data: None)
            multi.add_handle(handle)
            running += 1
        multi.perform()
        _, good, bad = multi.info_read()
        assert not bad, [each[1:] for each in bad[:3]]
        for handle in good:
            assert handle.getinfo(pycurl.RESPONSE_CODE) == 304
            multi.remove_handle(handle)
            spare.append(handle)
            running -= 1
        if running:
            multi.select(0.1)


def compare(
    section: Section,
    name: str,
    unit: str,
    ours: list[float],
    peers: list[float],
    goal: float | None,
    peer: str,
) -> None:
    """Add a row, and a goal for how many times longer the peer takes."""
    factor = 1e3 if unit.startswith("ms") else 1e6
    times = ratio(peers, ours)
    cells = [number(middle(each) * factor) for each in (ours, peers)]
    section.rows.append([name, *cells, f"1 / {number(times)}", f"{unit}; {peer}"])
    if goal is not None:
        section.goals.append(Goal(f"{name}: times quicker than {peer}", times, goal))


def both(
    section: Section,
    name: str,
    ours: list[Used],
    peers: list[Used],
    *,
    clock_goal: float | None,
    processor_goal: float | None,
    peer: str,
) -> None:
    goals = {"clock": clock_goal, "processor": processor_goal}
    for field, goal in goals.items():
        mine, theirs = ([getattr(each, field) for each in side] for side in (ours, peers))
        compare(section, f"{name}, {field}", "ms/feed", mine, theirs, goal, peer)


def timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def used(act: Callable[[], Any], count: int) -> Used:
    began, busy = time.perf_counter(), time.process_time()
    act()
    return Used((time.perf_counter() - began) / count, (time.process_time() - busy) / count)


def make_due(most: int = 1_000_000) -> None:
    """Make the first ``most`` feeds due, and no others."""
    execute("UPDATE system.feed_schedule SET next_at = now() + interval '6 hours' WHERE next_at < now()")
    execute(
        """UPDATE system.feed_schedule SET next_at = now() - interval '1 second'
            WHERE feed_id IN (SELECT feed_id FROM system.feed_schedule ORDER BY feed_id LIMIT %s)""",
        [most],
    )
    vacuum()


def vacuum() -> None:
    with environment.connect() as connection:
        connection.execute("VACUUM ANALYZE system.feed_schedule, system.episodes")


def fill_schedule(rows: int) -> None:
    execute(
        """INSERT INTO system.feed_hosts (name)
           SELECT 'host' || n || '.example' FROM generate_series(0, %s) n""",
        [max(rows // 50, 1) - 1],
    )
    execute(
        """INSERT INTO system.feeds (uid, url)
           SELECT gen_random_uuid(), 'https://host.example/' || n FROM generate_series(1, %s) n""",
        [rows],
    )
    execute(
        """INSERT INTO system.feed_schedule (feed_id, host_id, slot, next_at)
           SELECT id, (SELECT min(id) FROM system.feed_hosts) + id %% %s, 0, now() FROM system.feeds""",
        [max(rows // 50, 1)],
    )


def empty() -> None:
    tables = ", ".join(f"system.{table}" for table in TABLES.split(", "))
    run_raw(f"TRUNCATE {tables} CASCADE", [], "system")
