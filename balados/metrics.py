"""``/metrics`` for Prometheus. The stores are queried on each request; the counters of all processes are in
Redis.

If a store is unavailable, only its own metrics are missing. ``balados_store_up`` says which store is
unavailable, or has a full disk.
"""

import hmac
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import accumulate
from typing import cast

import msgspec
import redis
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from accounts.addresses import exact_address
from balados.requests import CLASSES
from eventstore import counters, log
from eventstore.counters import Key
from eventstore.database import raw_connection
from feeds.figures import DELAYS, figures
from jobs.retention import Run, last_run
from operations import maintenance, stores
from projections import lag, replicas
from projections.failures import suppress_outages
from web import readiness

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")
# what processes count: the key in Redis, the name of the metric, what it means, and its labels
COUNTERS: tuple[tuple[str, ...], ...] = (
    (
        "append_conflicts",
        "append_conflicts",
        "Appends that conflicted with another writer of the same stream.",
    ),
    ("events", "events_recorded", "Events recorded.", "type"),
    ("mails", "mails", "E-mails about accounts.", "outcome"),
    ("plays", "plays", "Plays through play tokens.", "outcome"),
    ("requests", "requests", "Requests answered.", "method", "route", "status"),
    ("feeds_fetched", "feeds_fetched", "Finished fetches.", "outcome"),
    ("feeds_seconds", "feeds_seconds", "Total seconds that finished fetches took.", "outcome"),
    ("feeds_claimed", "feeds_claimed", "Feeds claimed for fetching."),
    ("feeds_bytes", "feeds_bytes", "Bytes received over the network."),
    ("feeds_episodes", "feeds_episodes", "Episodes written: new, changed, removed or restored."),
    ("live_opened", "live_opened", "Live connections opened."),
    ("live_closed", "live_closed", "Live connections closed by the server.", "code"),
    ("live_commands", "live_commands", "Commands sent.", "type"),
    ("live_pushes", "live_pushes", "Changes sent to live connections."),
    ("live_events", "live_events", "Events that concerned a connected listener."),
)
GAUGES = {
    "live_connections": "Live connections that are currently open.",
    "feeds_bytes_in_flight": "Bytes of response bodies that are being received, decompressed or parsed.",
}
logger = logging.getLogger(__name__)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer the operator alone: everybody else gets 404, as if the page did not exist."""
    if not (_from_inside(request) or _has_token(request)):
        raise Http404
    return HttpResponse(generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)


def _from_inside(request: HttpRequest) -> bool:
    if not settings.TRUSTED_PROXIES and any(name in request.META for name in FORWARDED):
        return False  # it came through a proxy that no setting names: the address would be the proxy's own
    address = exact_address(request)
    return address is not None and any(address in network for network in settings.METRICS_NETWORKS)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    known = settings.METRICS_TOKEN.encode()
    return bool(known) and scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), known)


class Figures(Collector):
    """Queries the stores and Redis on each request of Prometheus. If one is unavailable, only its own metrics
    are missing."""

    def collect(self) -> Iterator[Metric]:
        sources = {
            "system": feed_figures,
            "events": log_figures,
            "projections": letter_figures,
            "redis": redis_figures,
        }
        found = {name: _unless_away(source) for name, source in sources.items()}
        for metrics in found.values():
            yield from metrics or ()
        works = [(name, int(found[name] is not None and _has_room(name))) for name in sources]
        yield _gauge("store_up", "Whether the store answers, and its disk is not full.", works, "store")
        if found["events"] is not None and found["projections"] is not None:
            yield from _unless_away(lag_figures) or ()
        closed = [(alias, int(state != "open")) for alias, state in maintenance.states().items()]
        yield _gauge("store_maintenance", "Whether the store is closed to writes.", closed, "store")
        yield from replica_figures()


def _gauge(name: str, text: str, values: Iterable[tuple[str, float | None]], label: str) -> Metric:
    """Return a gauge with one sample for each value of its one label; a number of None omits the sample."""
    family = GaugeMetricFamily(f"balados_{name}", text, labels=[label])
    for value, number in values:
        if number is not None:
            family.add_metric([value], number)
    return family


def feed_figures() -> list[Metric]:
    """Return the state of feed refreshing."""
    found = figures(timezone.now())
    states = [
        *(("all", found.feeds), ("unwanted", found.unwanted), ("unread", found.unread)),
        *(("failing", found.failing), ("due", found.due), ("paused", found.paused_feeds)),
    ]
    overdue = "Seconds that the most overdue feed has been due; 0 if none is due."
    hosts = "Hosts that are paused for now."
    return [
        _gauge("feeds", "Known feeds, in total and by state.", states, "state"),
        GaugeMetricFamily("balados_feeds_overdue_seconds", overdue, value=found.overdue_s),
        GaugeMetricFamily("balados_feed_hosts_paused", hosts, value=found.paused_hosts),
    ]


def log_figures() -> list[Metric]:
    return [GaugeMetricFamily("balados_log_position", "Position of the newest event.", value=log.head())]


def lag_figures() -> list[Metric]:
    """Return how far the projectors lag behind the log; reads both stores."""
    lags = lag.lags()
    events = [(each.projector, each.events) for each in lags]
    seconds = [(each.projector, each.seconds) for each in lags]
    return [
        _gauge("projector_lag_events", "Events that the projector has not applied yet.", events, "projector"),
        _gauge(
            "projector_lag_seconds",
            "Age of the oldest event not applied yet; 0 if none.",
            seconds,
            "projector",
        ),
    ]


def replica_figures() -> list[Metric]:
    """Return the state of the projections' replicas, by number; nothing if there are none."""
    if not (found := replicas.states()):
        return []
    away = (replicas.UNREACHABLE, replicas.UNKNOWN)
    up = [(str(each.number), int(each.word not in away)) for each in found]
    used = [(str(each.number), int(each.word == replicas.OK)) for each in found]
    seconds = [(str(each.number), each.seconds) for each in found]
    events = [(str(each.number), each.events) for each in found]
    return [
        _gauge("replica_up", "Whether the replica answers.", up, "replica"),
        _gauge("replica_used", "Whether reads are sent to the replica.", used, "replica"),
        _gauge("replica_lag_seconds", "Approximate lag behind the primary.", seconds, "replica"),
        _gauge("replica_lag_events", "Events that the replica is behind the primary.", events, "replica"),
    ]


def letter_figures() -> list[Metric]:
    letters = GaugeMetricFamily(
        "balados_dead_letters",
        "Dead letters: events that failed, and later events that wait behind them.",
        labels=["projector", "state"],
    )
    for each in lag.dead_letter_counts():
        letters.add_metric([each.projector, "failed"], each.failed)
        letters.add_metric([each.projector, "behind"], each.behind)
    return [letters]


def redis_figures() -> list[Metric]:
    """Return what processes count, and the figures of the worker's last run. Raises ``redis.RedisError``."""
    counters.publish()
    totals, gauges = counters.totals(), counters.gauges()
    return [
        *(_counter(totals, *declared) for declared in COUNTERS),
        *(
            GaugeMetricFamily(f"balados_{key}", text, value=gauges.get(key, 0))
            for key, text in GAUGES.items()
        ),
        _durations(totals),
        _delays(totals),
        *_worker(_last_run()),
    ]


def _delays(totals: dict[Key, float]) -> Metric:
    """Return how long after their publication episodes were stored."""
    ends = [*map(str, DELAYS), "+Inf"]
    found = [totals.get(("feeds_delay", str(place)), 0) for place in range(len(ends))]
    family = HistogramMetricFamily(
        "balados_feeds_delay_seconds",
        "Time from an episode's publication to its storage.",
        buckets=list(zip(ends, accumulate(found), strict=True)),
        sum_value=totals.get(("feeds_delay_sum",), 0),
    )
    return cast(Metric, family)


def _counter(totals: dict[Key, float], key: str, name: str, text: str, *labels: str) -> Metric:
    """Return a counter with a sample for each combination of labels that was counted; without labels, with
    one."""
    if not labels:
        return CounterMetricFamily(f"balados_{name}", text, value=totals.get((key,), 0))
    family = CounterMetricFamily(f"balados_{name}", text, labels=labels)
    for (found, *values), number in sorted(totals.items()):
        if found == key and len(values) == len(labels):
            family.add_metric(values, number)
    return family


def _durations(totals: dict[Key, float]) -> Metric:
    family = HistogramMetricFamily(
        "balados_request_seconds", "Time that responses took.", labels=["method", "route"]
    )
    sums = {key[1:]: number for key, number in totals.items() if key[0] == "seconds_sum" and len(key) == 3}
    ends = [*map(str, CLASSES), "+Inf"]
    for (method, route), seconds in sorted(sums.items()):
        found = [totals.get(("seconds", method, route, str(place)), 0) for place in range(len(ends))]
        buckets = list(zip(ends, accumulate(found), strict=True))
        family.add_metric([method, route], buckets, sum_value=seconds)
    return family


def _worker(last: Run | None) -> list[Metric]:
    """Return every figure of the worker's last run, under its own name; nothing before the first run."""
    if last is None:
        return []
    found = msgspec.structs.asdict(last)
    times = [(name, value.timestamp()) for name, value in found.items() if isinstance(value, datetime)]
    figures = [(name, value) for name, value in found.items() if isinstance(value, int | float)]
    return [
        _gauge("worker", "Figures of the worker's last run.", figures, "figure"),
        _gauge("worker_timestamp_seconds", "Times reported by the worker's last run.", times, "figure"),
        _gauge(
            "worker_step_seconds",
            "Time that each step of the worker's last run took.",
            last.seconds.items(),
            "step",
        ),
    ]


def _has_room(name: str) -> bool:
    """Whether a store takes writes: its disk is not full, nor the memory of Redis."""
    if name == "redis":
        return readiness.redis_check() == readiness.OK
    with suppress_outages():
        return stores.has_room(raw_connection(name))
    return False


def _last_run() -> Run | None:
    try:
        return last_run()
    except msgspec.MsgspecError:
        logger.warning("What the worker left in Redis cannot be read")
        return None


def _unless_away(figures: Callable[[], list[Metric]]) -> list[Metric] | None:
    with suppress(redis.RedisError), suppress_outages():
        return figures()
    return None


_registry = CollectorRegistry()
_registry.register(Figures())
