"""How the three stores are doing, and which of them has grown enough to need a database of its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import psycopg
from psycopg.errors import InsufficientPrivilege

from operations import maintenance, readtimes
from operations.figures import Figures, Log, figures, log
from operations.inventory import Place, place_of
from operations.readtimes import Reads
from operations.stores import SCHEMAS, parameters
from projections import lag
from projections.failures import is_outage

T = TypeVar("T")
# From where a store had better be on its own (docs/operations.md).
EVENTS_PER_DAY = 10_000
EVENTS = 1_000_000
READ_MS = 200.0


class Store(msgspec.Struct):
    """A store that answers. ``writes``: open, or why not (``maintenance.State``)."""

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
    """A figure, and the limit above which it speaks for a database of its own. ``value`` is None where it
    could not be had."""

    name: str
    limit: float
    value: float | None
    reached: bool


class Advice(msgspec.Struct):
    """``split``: whether to move the store to a database of its own now; ``alone``: whether it has one, None
    where it is away."""

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
    def away(self) -> list[str]:
        return [alias for alias, store in self.stores.items() if not store.up]


def report() -> Report:
    """Ask every store; takes a second or two, however large they are."""
    places: dict[str, Place] = {}
    stores = {alias: _store(alias, places) for alias in SCHEMAS}
    for alias, store in stores.items():
        if isinstance(store, Store):
            here, others = places[alias], {other: place for other, place in places.items() if other != alias}
            store.shares_database_with = [one for one, place in others.items() if place.same_database(here)]
            store.shares_server_with = [one for one, place in others.items() if place.system == here.system]
    both = {"events", "projections"} <= places.keys()
    events = _unless_away(_log) if "events" in places else None
    reads = _unless_away(readtimes.measure) if both else None
    thresholds = _thresholds(events, reads)
    return Report(
        at=datetime.now(UTC),
        stores=stores,
        events=events,
        projectors=_unless_away(_projectors) if both else None,
        reads=reads,
        advice=[_advice(alias, store, thresholds[alias]) for alias, store in stores.items()],
    )


def _store(alias: str, places: dict[str, Place]) -> Store | Away:
    """What a store says of itself; where it is goes into ``places``."""
    try:
        place = place_of(parameters(alias))
        with psycopg.connect(**parameters(alias), autocommit=True) as connection:
            writes, found = maintenance.status(connection, alias), figures(connection, alias)
    except (psycopg.OperationalError, psycopg.InterfaceError, InsufficientPrivilege) as failure:
        message = (failure.diag.message_primary or str(failure)).strip()
        return Away(message.partition("\n")[0] or type(failure).__name__)
    places[alias] = place
    return Store(place.server, place.database, place.version, writes, [], [], found)


def _log() -> Log:
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        return log(connection)


def _unless_away(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except Exception as failure:
        if is_outage(failure):
            return None
        raise


def _projectors() -> list[Projector]:
    return [
        Projector(each.projector, each.events, round(each.seconds, 3), waiting.failed, waiting.behind)
        for each, waiting in zip(lag.lags(), lag.dead_letter_counts(), strict=True)
    ]


def _thresholds(found: Log | None, reads: Reads | None) -> dict[str, list[Threshold]]:
    """The figures that speak for a database of its own, by store."""
    a_day = None if found is None else max(found.last_days[0], found.per_day)
    # reads that are slow by themselves are no fault of a replay
    beside = None if reads is None or reads.p95_ms > READ_MS else reads.beside_replay_p95_ms
    return {
        "system": [],
        "projections": [_threshold("read_p95_ms", READ_MS, None if reads is None else reads.p95_ms)],
        "events": [
            _threshold("events_per_day", EVENTS_PER_DAY, a_day),
            _threshold("events", EVENTS, None if found is None else found.total),
            _threshold("read_p95_ms_beside_replay", READ_MS, beside),
        ],
    }


def _threshold(name: str, limit: float, value: float | None) -> Threshold:
    return Threshold(name, limit, value, value is not None and value > limit)


def _advice(alias: str, store: Store | Away, thresholds: list[Threshold]) -> Advice:
    alone = not store.shares_database_with if isinstance(store, Store) else None
    return Advice(alias, alone is False and any(each.reached for each in thresholds), alone, thresholds)
