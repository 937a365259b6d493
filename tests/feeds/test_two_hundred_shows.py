"""A listener follows two hundred real feeds: what an app is told about them while their server changes."""

import io
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from eventstore.domain.identifiers import feed_of_url
from feeds import lookups
from feeds.store import ensure, execute
from jobs import announcing
from jobs.moves import follow_moves
from operations.verification import verify
from projections import comparison
from tests.api.conftest import phone as phone
from tests.api.devices import Device, document
from tests.feeds.origin import Origin, answer, redirect, status_only
from tests.feeds.pumping import pump
from tests.feeds.reading import CORPORA
from tests.jobs.working import run_projectors

pytestmark = [
    pytest.mark.usefixtures("stores"),
    pytest.mark.skipif(not CORPORA.is_dir(), reason="the documents of others are not here"),
]
SHOWS = 200
OLD, NEW = "old.example", "new.example"
HTML = b"<!doctype html><html><body>Welcome</body></html>"


@pytest.fixture
def served(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """An origin named old.example and new.example, because feeds at a bare IP address never move."""
    monkeypatch.setattr(lookups, "resolve", lambda host: ("127.0.0.1",))
    monkeypatch.setattr(announcing, "_put", lambda message: None)
    monkeypatch.setattr(comparison, "PAUSE_BETWEEN_LOOKS", 0)
    return origin


def documents() -> list[Path]:
    """Real documents that have titles."""
    folders = ("podcastparser/tests/data/*.rss", "feedparser/tests/entities/*.xml")
    found = [path for folder in folders for path in sorted(CORPORA.glob(folder))]
    return [path for path in found if b"<title" in path.read_bytes()][:SHOWS]


def paths() -> list[str]:
    return [f"/{number}.xml" for number in range(SHOWS)]


def serve(origin: Origin) -> None:
    for path, source in zip(paths(), documents(), strict=True):
        body = source.read_bytes()
        origin.on(path, answer(body, etag=f'"{len(body)}"'))


def fetch_all(at: datetime) -> None:
    """Fetch every feed once, and lift the pauses of hosts first."""
    execute("UPDATE system.feed_hosts SET paused_until = NULL, pauses = 0, failures = 0")
    execute("UPDATE system.feed_schedule SET next_at = %s", [at])
    pump(clock=lambda: at)


def states_of(phone: Device, urls: list[str]) -> tuple[Counter[str], dict[str, Any]]:
    """What an app is told: how many feeds are in each state, and everything about the last of them."""
    codes: Counter[str] = Counter()
    last: dict[str, Any] = {}
    for url in urls:
        found = phone.get(f"subscriptions/{quote(feed_of_url(url), safe='')}/metadata")
        last = document(found)
        codes[last["state"]] += 1
    return codes, last


def subscriptions(phone: Device) -> list[dict[str, Any]]:
    return list(document(phone.get("subscriptions?limit=1000"))["subscriptions"])


def test_each_state_is_told_in_plain_words_and_nothing_is_lost(phone: Device, served: Origin) -> None:
    now = timezone.now()
    old, new = ([served.url(path, host=host) for path in paths()] for host in (OLD, NEW))
    serve(served)
    sent = [{"rss_source_feed": feed_of_url(url), "subscribed_at": "2026-11-01T00:00:00Z"} for url in old]
    phone.sync(subscriptions=sent)
    run_projectors()
    ensure([feed_of_url(url) for url in old], now)
    sample = old[::20]
    assert states_of(phone, sample)[0] == {"new": 10}

    fetch_all(now)
    rows = subscriptions(phone)
    assert len(rows) == SHOWS
    assert sum(row["rss_feed_title"] is not None for row in rows) > 170
    assert all(row["cover"] for row in rows if row["rss_feed_title"] is not None)
    assert states_of(phone, sample)[0] == {"ok": 10}
    before = {row["rss_source_feed"]: row["rss_feed_title"] for row in rows}

    served.stop()
    fetch_all(now)
    codes, last = states_of(phone, sample)
    assert codes == {"paused": 10}
    assert "old.example does not answer; tried again at" in last["state_text"]
    served.start()

    for broken, error in [
        (status_only(500), "Its server answered with an error."),
        (answer(HTML, content_type="text/html"), "There is no feed at this address, but something else."),
    ]:
        for path in paths():
            served.on(path, broken)
        fetch_all(now)
        codes, last = states_of(phone, sample)
        assert codes == {"stale": 10}
        assert last["state_text"].startswith(f"{error} Failing since ")
        assert last["error"]["detail"] == error
    assert {row["rss_source_feed"]: row["rss_feed_title"] for row in subscriptions(phone)} == before

    serve(served)
    fetch_all(now)
    assert states_of(phone, sample)[0] == {"ok": 10}

    for path in paths():
        served.on(path, redirect(served.url(path.replace(".xml", ".rss"), host=NEW), 301))
    for path, source in zip(paths(), documents(), strict=True):
        served.on(path.replace(".xml", ".rss"), answer(source.read_bytes()))
    fetch_all(now + timedelta(minutes=1))
    assert follow_moves() == SHOWS
    run_projectors()
    moved = [url.replace(".xml", ".rss") for url in new]
    codes, last = states_of(phone, moved[::20])
    assert codes == {"moved": 10}
    assert last["state_text"] == "Moved to new.example."
    assert {row["feed_url"] for row in subscriptions(phone)} == set(moved)
    titles = Counter(row["rss_feed_title"] for row in subscriptions(phone))
    assert titles == Counter(before.values())

    served.requests.clear()
    fetch_all(now + timedelta(minutes=2))
    assert {asked.host for asked in served.requests} == {NEW}
    assert verify(io.StringIO()).findings == 0
