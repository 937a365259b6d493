"""A device that syncs thousands of play statuses over HTTP, compared with the raw insert of the same
events."""

import time
from collections.abc import Callable
from http.client import HTTPConnection
from itertools import count
from statistics import median
from uuid import uuid4

import msgspec

from benchmarks import environment, instance, sample
from benchmarks.batches import ONE_PARAMETER
from benchmarks.instance import Listener, Web
from benchmarks.report import Goal, Section, number
from benchmarks.scale import Scale
from eventstore import log

FIRST, AGAIN, WITH_CURSOR = "sync: first time", "the same again", "the same again, with the cursor"
RAW = "raw insert, one jsonb parameter"
_first_item = count(0, 1_000_000)


def run(scale: Scale) -> Section:
    environment.empty()
    columns = [""]
    rows: dict[str, list[str]] = {name: [] for name in (RAW, FIRST, AGAIN, WITH_CURSOR)}
    memory = ["peak memory of a web process (MiB)"]
    goals = []
    for entries in scale.syncs:
        environment.let_go()
        with instance.web() as server:
            idle = server.peak_mib()
            seconds: dict[str, list[float]] = {name: [] for name in rows}
            for _ in range(scale.sync_rounds):
                _measure(server, entries, seconds)
            memory += [f"{server.peak_mib():,.0f} ({idle:,.0f} before)", ""]
        columns += [f"{entries:,} entries (ms)", "of raw"]
        for name, cells in rows.items():
            of_raw = median(one / raw for one, raw in zip(seconds[name], seconds[RAW], strict=True))
            cells += [number(median(seconds[name]) * 1000), f"{of_raw:.2f}"]
            wanted = {FIRST: 3.0, AGAIN: 2.0}.get(name)
            if wanted:
                goals.append(Goal(f"{name}, {entries:,} / raw", of_raw, wanted, at_most=True))
    section = Section(
        "Sync of play statuses", columns, [[name, *cells] for name, cells in rows.items()], goals
    )
    section.rows.append(memory)
    section.notes.append(
        "Over HTTP to the production server, one request at a time, from the first byte sent to the last one"
        " received. Each round is a new listener. “The same again” is answered with everything; half of the"
        " time it meets the web process that did not see the first and has to load the stream."
    )
    return section


def _measure(server: Web, entries: int, seconds: dict[str, list[float]]) -> None:
    first = next(_first_item)
    (listener,) = instance.listeners(1)
    payload = body(entries, first, None)
    seconds[RAW].append(_timed(_raw_insert(entries, first)))
    answers: list[bytes] = []
    seconds[FIRST].append(_timed(lambda: answers.append(sync(server, listener, payload))))
    seconds[AGAIN].append(_timed(lambda: answers.append(sync(server, listener, payload))))
    found = msgspec.json.decode(answers[-1])
    assert len(found["data"]["play_statuses"]) == entries
    payload = body(entries, first, found["cursor"])
    seconds[WITH_CURSOR].append(_timed(lambda: answers.append(sync(server, listener, payload))))
    assert msgspec.json.decode(answers[-1])["data"]["play_statuses"] == []


def body(entries: int, first: int, cursor: str | None) -> bytes:
    """Return what a device sends: JSON with every status that it knows."""
    plays = [sample.play(uuid4(), first + entry) for entry in range(entries)]
    statuses = [
        {
            "rss_source_feed": play.rss_source_feed,
            "rss_source_item": play.rss_source_item,
            "position": play.position,
            "played": play.played,
            "updated_at": sample.START,
        }
        for play in plays
    ]
    return msgspec.json.encode({"cursor": cursor, "play_statuses": statuses})


def sync(server: Web, who: Listener, payload: bytes) -> bytes:
    """Sync, and return the body of the response. Raises ``RuntimeError`` if it is not a 200."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {"Authorization": f"Bearer {who.token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/sync", payload, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {content[:500]!r}")
    return content


def _raw_insert(entries: int, first: int) -> Callable[[], None]:
    """Return a step that inserts the same events in one statement, encoded beforehand."""
    user_id = uuid4()
    stream = log.stream_of(user_id)
    lines = [{"t": "PlayRecorded", "s": 1, "d": event} for event in sample.plays(user_id, entries, first)]
    parameters = (stream, 0, msgspec.json.encode(sample.ORIGIN).decode(), msgspec.json.encode(lines).decode())
    connection = environment.connect()
    return lambda: connection.execute(ONE_PARAMETER, parameters, prepare=True).close()


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
