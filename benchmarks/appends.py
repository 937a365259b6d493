"""One event per append: a raw INSERT, our append with and without the dispatcher, and eventsourcing."""

from datetime import timedelta
from itertools import count
from uuid import uuid4

import msgspec

from benchmarks import clients, environment, eventsourcing, sample
from benchmarks.clients import Client, Step
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale
from eventstore import codec, dispatcher, log
from eventstore.domain.plays import RecordPlay

RAW_INSERT = """
WITH recorded AS (
    INSERT INTO events.events (stream, version, type, schema, data, metadata) VALUES (%s, %s, %s, %s, %s, %s))
INSERT INTO events.snapshots (stream, topic, key, name, state) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state
"""
RAW, APPEND, DISPATCH = "raw prepared INSERT", "log.append", "dispatch (load, decide, append)"
PUT, SAVE = "eventsourcing: events.put", "eventsourcing: command and save"


def raw(number: int) -> Step:
    """Return the limit: a step that inserts the same rows into the same tables, encoded beforehand, without a
    version check."""
    stream = log.stream_of(uuid4())
    event = sample.play(uuid4(), number)
    data, metadata = codec.encode(event).decode(), msgspec.json.encode(sample.ORIGIN).decode()
    entry = sample.entry(event)
    versions = count(1)
    connection = environment.connect()

    def step() -> int:
        values = (stream, next(versions), "PlayRecorded", 1, data, metadata)
        kept = (stream, entry.topic, uuid4(), entry.name, entry.state)
        connection.execute(RAW_INSERT, (*values, *kept), prepare=True)
        return 1

    return step


def append(number: int) -> Step:
    user_id = uuid4()
    stream = log.stream_of(user_id)
    versions = count()

    def step() -> int:
        version = next(versions)
        play = sample.play(user_id, version)
        assert log.append(stream, version, [play], sample.ORIGIN, changed=[sample.entry(play)])
        return 1

    return step


def dispatch(number: int) -> Step:
    user_id = uuid4()
    numbers = count()

    def step() -> int:
        play = sample.play(user_id, next(numbers))
        command = RecordPlay(
            user_id=user_id,
            feed=play.rss_source_feed,
            item=play.rss_source_item,
            position=play.position,
            played=play.played,
            at=play.played_at,
            now=sample.START + timedelta(days=1),
        )
        assert dispatcher.dispatch(command, sample.ORIGIN).events
        return 1

    return step


def put(number: int) -> Step:
    """Return the peer's counterpart of ``log.append``: encode and record."""
    app = eventsourcing.application()
    who = eventsourcing.listener(app)
    numbers = count()

    def step() -> int:
        return len(app.events.put(eventsourcing.plays(who, 1, next(numbers))))

    return step


def save(number: int) -> Step:
    """Return a step that runs a command on an aggregate in memory and calls the application's ``save``."""
    app = eventsourcing.application()
    who = eventsourcing.listener(app)
    numbers = count()

    def step() -> int:
        eventsourcing.trigger(who, next(numbers))
        return len(app.save(who))

    return step


def run(scale: Scale) -> Section:
    contenders: dict[str, Client] = {RAW: raw, APPEND: append, DISPATCH: dispatch}
    if eventsourcing.INSTALLED:
        contenders |= {PUT: put, SAVE: save}
    environment.empty()
    if eventsourcing.INSTALLED:
        eventsourcing.prepare()
    by_clients = {}
    for clients_at_once in scale.clients:
        environment.settle()
        by_clients[clients_at_once] = clients.interleaved(
            contenders, clients_at_once, scale.seconds, scale.rounds
        )
    section = Section(
        "One event per append (events/s)",
        ["", *(f"{one} client{'s' if one > 1 else ''}" for one in by_clients)],
        [[name, *(number(middle(rates[name])) for rates in by_clients.values())] for name in contenders],
    )
    for one, rates in by_clients.items():
        section.goals += _goals(one, rates)
    section.notes.append(
        f"Events of {sample.size(sample.play(uuid4(), 1))} bytes of JSON. Clients are processes, each with"
        f" its own stream; medians of {scale.rounds} rounds of {scale.seconds:g} s, contenders in turn."
    )
    if not eventsourcing.INSTALLED:
        section.notes.append(eventsourcing.MISSING)
    return section


def _goals(clients_at_once: int, rates: dict[str, list[float]]) -> list[Goal]:
    goals = []
    if clients_at_once == 8:
        goals.append(Goal("append / raw INSERT, 8 clients", ratio(rates[APPEND], rates[RAW]), 0.80))
    if clients_at_once in (1, 8) and eventsourcing.INSTALLED:
        goals.append(
            Goal(
                f"append / eventsourcing, {clients_at_once} clients",
                ratio(rates[APPEND], rates[PUT]),
                {1: 2.5, 8: 5.0}[clients_at_once],
            )
        )
    return goals
