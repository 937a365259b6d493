"""How the three stores are doing, and which of them has grown enough to live on its own."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import psycopg
import redis
from django.db import Error
from psycopg.errors import InsufficientPrivilege, UndefinedTable

from operations import fence, readtimes
from operations.figures import Figures, Log, figures, log
from operations.inventory import place_of
from operations.readtimes import Reads
from operations.stores import SCHEMAS, parameters
from projections import lag
from projections.failures import is_outage

AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
# From where a store had better be on its own (docs/operations.md).
EVENTS_PER_DAY = 10_000
EVENTS = 1_000_000
READ_MS = 200.0


class Store(msgspec.Struct):
    """A store that answers. ``writes``: open, or why not (``fence.State``). ``shares_database_with`` and
    ``shares_server_with``: the other stores that do."""

    server: str
    database: str
    version: str
    writes: str
    shares_database_with: list[str]
    shares_server_with: list[str]
    figures: Figures
    up: bool = True


class Away(msgspec.Struct):
    error: str
    up: bool = False


class Projector(msgspec.Struct):
    name: str
    lag_events: int
    lag_seconds: float
    dead_letters_failed: int
    dead_letters_behind: int


class Threshold(msgspec.Struct):
    """A figure and the limit from which it speaks for a database of its own. ``value`` is None where it could
    not be had."""

    name: str
    limit: float
    value: float | None
    reached: bool


class Advice(msgspec.Struct):
    """``split``: whether to move the store to a database of its own now; ``alone``: it has one already."""

    store: str
    split: bool
    alone: bool | None
    thresholds: list[Threshold]


class Report(msgspec.Struct):
    """What ``store_status --json`` prints. Names stay, more may come; what could not be had is null."""

    at: datetime
    stores: dict[str, Store | Away]
    events: Log | None
    projectors: list[Projector] | None
    reads: Reads | None
    advice: list[Advice]

    @property
    def healthy(self) -> bool:
        """Whether every store answers."""
        return all(store.up for store in self.stores.values())


def report(classes: Sequence[float]) -> Report:
    """Ask every store. ``classes``: upper ends of the classes of durations (balados.requests), in seconds."""
    stores = _stores()
    up = {alias for alias, found in stores.items() if found.up}
    found_log = _log() if "events" in up else None
    both = {"events", "projections"} <= up
    reads = _unless_away_reads(found_log, classes) if both else None
    return Report(
        at=datetime.now(UTC),
        stores=stores,
        events=found_log,
        projectors=_projectors() if both else None,
        reads=reads,
        advice=[
            _advice("events", stores, _for_events(found_log, reads)),
            _advice("projections", stores, _for_projections(reads)),
            _advice("system", stores, []),
        ],
    )


def _stores() -> dict[str, Store | Away]:
    places, found, found_figures, notes = {}, {}, {}, {}
    for alias in SCHEMAS:
        try:
            params = parameters(alias)
            places[alias] = place_of(params)
            with psycopg.connect(**params, autocommit=True) as connection:
                notes[alias] = fence.read(connection, alias)
                found_figures[alias] = figures(connection, alias)
        except (*AWAY, InsufficientPrivilege) as failure:
            places.pop(alias, None)
            told = (failure.diag.message_primary or str(failure)).strip().splitlines()
            found[alias] = told[0] if told else type(failure).__name__
    stores: dict[str, Store | Away] = {}
    for alias in SCHEMAS:
        if alias not in places:
            stores[alias] = Away(found[alias])
            continue
        here, note = places[alias], notes[alias]
        others = {other: place for other, place in places.items() if other != alias}
        stores[alias] = Store(
            server=here.server,
            database=here.database,
            version=here.version,
            writes=note.state if note is not None and note.fenced else "open",
            shares_database_with=[other for other, place in others.items() if place.same_database(here)],
            shares_server_with=[other for other, place in others.items() if place.system == here.system],
            figures=found_figures[alias],
        )
    return stores


def _log() -> Log | None:
    try:
        with psycopg.connect(**parameters("events"), autocommit=True) as connection:
            return log(connection)
    except (*AWAY, UndefinedTable):
        return None


def _unless_away_reads(found: Log | None, classes: Sequence[float]) -> Reads | None:
    try:
        return readtimes.measure(found.total if found else 0, classes)
    except (psycopg.Error, Error, redis.RedisError) as failure:
        if isinstance(failure, redis.RedisError) or is_outage(failure):
            return None
        raise


def _projectors() -> list[Projector] | None:
    try:
        waiting = {each.projector: each for each in lag.waiting()}
        return [
            Projector(
                each.projector,
                each.events,
                round(each.seconds, 3),
                waiting[each.projector].failed,
                waiting[each.projector].behind,
            )
            for each in lag.lags()
        ]
    except (psycopg.Error, Error) as failure:
        if is_outage(failure):
            return None
        raise


def _for_events(found: Log | None, reads: Reads | None) -> list[Threshold]:
    last_day = None if found is None else float(max(found.last_days[0], found.per_day))
    # reads that are slow by themselves are no fault of a replay
    beside = None if reads is None or reads.p95_ms > READ_MS else reads.beside_replay_p95_ms
    return [
        _threshold("events_per_day", EVENTS_PER_DAY, last_day),
        _threshold("events", EVENTS, None if found is None else float(found.total)),
        _threshold("read_p95_ms_beside_replay", READ_MS, beside),
    ]


def _for_projections(reads: Reads | None) -> list[Threshold]:
    return [_threshold("read_p95_ms", READ_MS, None if reads is None else reads.p95_ms)]


def _threshold(name: str, limit: float, value: float | None) -> Threshold:
    return Threshold(name, limit, value, value is not None and value > limit)


def _advice(alias: str, stores: dict[str, Store | Away], thresholds: list[Threshold]) -> Advice:
    found = stores[alias]
    alone = not found.shares_database_with if isinstance(found, Store) else None
    reached = any(threshold.reached for threshold in thresholds)
    return Advice(alias, reached and alone is False, alone, thresholds)
