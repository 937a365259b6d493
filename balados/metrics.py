"""What Prometheus asks: asked of the stores at that moment, and the counters of all processes.

A store that is away takes its figures with it and leaves the others: ``balados_store_up`` says so.
"""

import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import accumulate

import msgspec
import redis
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
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
from jobs.retention import Run, last_run
from projections import lag, replicas
from projections.failures import is_outage

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")
logger = logging.getLogger(__name__)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For our own eyes: nobody else learns that it is here."""
    if not (_from_inside(request) or _has_token(request)):
        raise Http404
    return HttpResponse(generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)


def _from_inside(request: HttpRequest) -> bool:
    if not settings.TRUSTED_PROXIES and any(name in request.META for name in FORWARDED):
        return False  # it came through a proxy that we were not told of: the address is the proxy's own
    address = exact_address(request)
    return address is not None and any(
        address in ipaddress.ip_network(network, strict=False) for network in settings.METRICS_NETWORKS
    )


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    known = settings.METRICS_TOKEN.encode()
    return bool(known) and scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), known)


class Figures(Collector):
    """Everything that there is to say, at the moment of asking."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("balados_store_up", "Whether the store answers.", labels=["store"])
        for name, figures in {
            "events": log_figures,
            "projections": letter_figures,
            "redis": redis_figures,
        }.items():
            found = _unless_away(figures)
            up.add_metric([name], 0 if found is None else 1)
            yield from found or ()
        yield up
        yield from _unless_away(lag_figures) or ()
        yield from replica_figures()

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time: registering must not ask the stores."""
        return iter(())


def log_figures() -> list[Metric]:
    return [GaugeMetricFamily("balados_log_position", "Position of the newest event.", value=log.head())]


def lag_figures() -> list[Metric]:
    """How far the projectors are behind: takes both stores."""
    events = GaugeMetricFamily(
        "balados_projector_lag_events", "Events that the projector has not applied.", labels=["projector"]
    )
    seconds = GaugeMetricFamily(
        "balados_projector_lag_seconds",
        "Age of the oldest of them; 0 when there is none.",
        labels=["projector"],
    )
    for each in lag.lags():
        events.add_metric([each.projector], each.events)
        seconds.add_metric([each.projector], each.seconds)
    return [events, seconds]


def replica_figures() -> list[Metric]:
    """Of the replicas of the projections, by number; nothing where there is none."""
    up = GaugeMetricFamily("balados_replica_up", "Whether the replica answers.", labels=["replica"])
    seconds = GaugeMetricFamily(
        "balados_replica_lag_seconds", "How old it is beside the primary.", labels=["replica"]
    )
    events = GaugeMetricFamily(
        "balados_replica_lag_events", "How many events it is behind the primary.", labels=["replica"]
    )
    used = GaugeMetricFamily("balados_replica_used", "Whether reads go to it.", labels=["replica"])
    found = replicas.state()
    for each in found:
        number = [str(each.number)]
        up.add_metric(number, each.word not in (replicas.UNREACHABLE, replicas.UNKNOWN))
        used.add_metric(number, each.word == replicas.OK)
        if each.seconds is not None:
            seconds.add_metric(number, each.seconds)
        if each.events is not None:
            events.add_metric(number, each.events)
    return [up, used, seconds, events] if found else []


def letter_figures() -> list[Metric]:
    letters = GaugeMetricFamily(
        "balados_dead_letters",
        "Events set aside: failed ones, and later ones that wait behind them.",
        labels=["projector", "state"],
    )
    for each in lag.waiting():
        letters.add_metric([each.projector, "failed"], each.failed)
        letters.add_metric([each.projector, "behind"], each.behind)
    return [letters]


def redis_figures() -> list[Metric]:
    """What processes count, and what the worker left. Raises ``redis.RedisError``."""
    counters.publish()
    totals = counters.totals()
    return [*_counted(totals), *_durations(totals), *_worker(_last_run())]


def _counted(totals: dict[Key, float]) -> Iterator[Metric]:
    conflicts = totals.get(("append_conflicts",), 0)
    yield CounterMetricFamily(
        "balados_append_conflicts", "Appends that lost to another writer of the same stream.", value=conflicts
    )
    yield _counter(totals, "events", "balados_events_recorded", "Events recorded.", ["type"])
    names = ["method", "route", "status"]
    yield _counter(totals, "requests", "balados_requests", "Requests answered.", names)


def _counter(totals: dict[Key, float], key: str, name: str, text: str, labels: list[str]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for (found, *values), number in sorted(totals.items()):
        if found == key and len(values) == len(labels):
            family.add_metric(values, number)
    return family


def _durations(totals: dict[Key, float]) -> Iterator[Metric]:
    family = HistogramMetricFamily(
        "balados_request_seconds", "How long answers took.", labels=["method", "route"]
    )
    sums = {key[1:]: number for key, number in totals.items() if key[0] == "seconds_sum" and len(key) == 3}
    ends = [*map(str, CLASSES), "+Inf"]
    for (method, route), seconds in sorted(sums.items()):
        found = [totals.get(("seconds", method, route, str(place)), 0) for place in range(len(ends))]
        buckets = list(zip(ends, accumulate(found), strict=True))
        family.add_metric([method, route], buckets, sum_value=seconds)
    yield family


def _worker(last: Run | None) -> Iterator[Metric]:
    """Every figure of the worker's last run, under its own name; nothing before its first."""
    if last is None:
        return
    figures = GaugeMetricFamily("balados_worker", "Figures of the worker's last run.", labels=["figure"])
    times = GaugeMetricFamily(
        "balados_worker_timestamp_seconds", "Times that the worker's last run told.", labels=["figure"]
    )
    for name, found in msgspec.structs.asdict(last).items():
        if isinstance(found, datetime):
            times.add_metric([name], found.timestamp())
        elif isinstance(found, int | float):
            figures.add_metric([name], found)
    steps = GaugeMetricFamily("balados_worker_step_seconds", "How long its steps took.", labels=["step"])
    for step, seconds in last.seconds.items():
        steps.add_metric([step], seconds)
    yield from (figures, times, steps)


def _last_run() -> Run | None:
    try:
        return last_run()
    except msgspec.MsgspecError:
        logger.warning("What the worker left in Redis cannot be read")
        return None


def _unless_away(figures: Callable[[], list[Metric]]) -> list[Metric] | None:
    try:
        return figures()
    except redis.RedisError:
        return None
    except Exception as failure:
        if is_outage(failure):
            return None
        raise


_registry = CollectorRegistry()
_registry.register(Figures())
