"""A hundred events per append: COPY and one jsonb parameter as the limits, our append, and eventsourcing."""

from itertools import count
from uuid import uuid4

import msgspec

from benchmarks import clients, environment, eventsourcing, sample
from benchmarks.clients import Client, Step
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale
from eventstore import codec, log

BATCH = 100
COPY = "COPY events.events (stream, version, type, schema, data, metadata) FROM STDIN"
ONE_PARAMETER = """
INSERT INTO events.events (stream, version, type, schema, data, metadata)
SELECT %s, %s + e.ordinality::integer, e.value ->> 't', (e.value ->> 's')::smallint, e.value -> 'd', %s::jsonb
FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS e
"""
BY_COPY, BY_PARAMETER, APPEND, PUT = (
    "COPY",
    "one jsonb parameter",
    "log.append",
    "eventsourcing: events.put",
)


def copy(client: int) -> Step:
    """Return the limit: rows encoded as JSON beforehand, written with psycopg's ``write_row``."""
    stream = log.stream_of(uuid4())
    connection = environment.connect()
    lines = [codec.encode(event).decode() for event in sample.plays(uuid4(), BATCH)]
    metadata = msgspec.json.encode(sample.ORIGIN).decode()
    versions = count(1)

    def step() -> int:
        with connection.cursor() as cursor, cursor.copy(COPY) as rows:
            for line in lines:
                rows.write_row((stream, next(versions), "PlayRecorded", 1, line, metadata))
        return BATCH

    return step


def one_parameter(client: int) -> Step:
    """Return the other limit: one JSON list, encoded beforehand, without a check of the version."""
    stream = log.stream_of(uuid4())
    connection = environment.connect()
    metadata = msgspec.json.encode(sample.ORIGIN).decode()
    events = [{"t": "PlayRecorded", "s": 1, "d": event} for event in sample.plays(uuid4(), BATCH)]
    encoded = msgspec.json.encode(events).decode()
    versions = count(0, BATCH)

    def step() -> int:
        connection.execute(ONE_PARAMETER, (stream, next(versions), metadata, encoded), prepare=True)
        return BATCH

    return step


def append(client: int) -> Step:
    user_id = uuid4()
    stream = log.stream_of(user_id)
    events = sample.plays(user_id, BATCH)
    versions = count(0, BATCH)

    def step() -> int:
        assert log.append(stream, next(versions), events, sample.ORIGIN)
        return BATCH

    return step


def put(client: int) -> Step:
    app = eventsourcing.application()
    who = eventsourcing.listener(app)
    numbers = count(0, BATCH)

    def step() -> int:
        return len(app.events.put(eventsourcing.plays(who, BATCH, next(numbers))))

    return step


def run(scale: Scale) -> Section:
    contenders: dict[str, Client] = {BY_COPY: copy, BY_PARAMETER: one_parameter, APPEND: append}
    environment.empty()
    if eventsourcing.INSTALLED:
        contenders[PUT] = put
        eventsourcing.prepare()
    by_clients = {}
    for clients_at_once in scale.clients[:2]:
        environment.settle()
        by_clients[clients_at_once] = clients.interleaved(
            contenders, clients_at_once, scale.seconds, scale.rounds
        )
    return Section(
        f"{BATCH} events per append (events/s)",
        ["", *(f"{one} client{'s' if one > 1 else ''}" for one in by_clients)],
        [[name, *(number(middle(rates[name])) for rates in by_clients.values())] for name in contenders],
        [
            Goal(
                f"batch of {BATCH} / COPY, {one} client{'s' if one > 1 else ''}",
                ratio(rates[APPEND], rates[BY_COPY]),
                0.9,
            )
            for one, rates in by_clients.items()
        ],
        [] if eventsourcing.INSTALLED else [eventsourcing.MISSING],
    )
