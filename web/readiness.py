"""``/health/live`` and ``/health/ready``: whether this process answers, and whether it can do its work.

Ready means: the stores answer, have free disk space and the tables that the code expects, and the projectors
keep up. The answer is one word per check and no more, since anybody may ask.
"""

from functools import cache
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from eventstore.database import raw_connection
from eventstore.instance import WrongStore
from operations import maintenance, migrations, stores
from projections import lag, replicas
from projections.failures import is_outage, unless_away

TIMEOUTS: dict[str, Any] = {"socket_timeout": 2, "socket_connect_timeout": 2}
RETRY_AFTER = "5"  # seconds; a store restarts in about that time
STORES = ("system", "projections", "events")
OK: Final = "ok"
UNWRITABLE: Final = "takes no writes"
UNREACHABLE, UNMIGRATED, BEHIND, UNKNOWN = "unreachable", "migrations are missing", "behind", "unknown"
RESTORED: Final = "being restored"
WRONG: Final = "of another instance"
OLDER: Final = "older than the read models"


@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """Confirm that the process answers. No store is queried: this process must not be restarted
    because a store is unavailable."""
    return HttpResponse("live\n", content_type="text/plain")


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 if every check is in order, else 503; in both cases with the result of each check.

    Replicas are listed but may be unavailable: the primary answers instead. Stores that are closed to writes
    are listed but do not affect readiness, since reads still work.
    """
    found, replicas = checks(), replica_words()
    states = maintenance.states(alias for alias in STORES if found[alias] != UNREACHABLE)
    closed = {alias: state for alias, state in states.items() if state != "open"}
    body: dict[str, object] = {"checks": found, "replicas": replicas, "maintenance": closed}
    body = {name: part for name, part in body.items() if part}
    if all(word == OK for word in found.values()):
        return JsonResponse({"status": "ready", **body})
    return JsonResponse({"status": "unavailable", **body}, status=503, headers={"Retry-After": RETRY_AFTER})


def checks() -> dict[str, str]:
    """Return the result of each check: ``ok``, or what is wrong. Waits up to 5 s for
    each store that is unavailable."""
    found = {alias: _store(alias) for alias in STORES}
    found["redis"] = redis_check()
    readable = found["projections"] == found["events"] == OK
    if readable and _is_log_older():
        found["events"], readable = OLDER, False
    found["projectors"] = _projectors() if readable else UNKNOWN
    return found


def replica_words() -> dict[str, str]:
    """Return the state of each replica of the projections, by number; the server works without replicas."""
    return {str(each.number): each.word for each in replicas.states()}


def _store(alias: str) -> str:
    try:
        applied = MigrationRecorder(connections[alias]).applied_migrations()
        with connections[alias].cursor() as cursor:
            note = stores.read_note(cursor, alias)
        has_room = stores.has_room(raw_connection(alias))
    except Exception as error:
        if not is_outage(error):
            raise
        return WRONG if isinstance(error.__cause__, WrongStore) else UNREACHABLE
    if note is not None and note.state == "restoring":
        return RESTORED
    if not has_room:
        return UNWRITABLE
    return OK if _known_migrations(alias) <= applied.keys() else UNMIGRATED


def redis_check() -> str:
    """Return ``ok`` if Redis answers and takes writes, or what is wrong."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, **TIMEOUTS) as connection:
            connection.set("ready", "", ex=10)
    except redis.ResponseError:  # its memory or its disk is full, or it is a replica
        return UNWRITABLE
    except redis.RedisError:
        return UNREACHABLE
    return OK


def _is_log_older() -> bool:
    try:
        lag.check_log()
    except WrongStore:
        return True
    except Exception as error:
        if not is_outage(error):
            raise
    return False


def _projectors() -> str:
    if (lags := unless_away(lag.lags)) is None:
        return UNKNOWN
    late = any(
        each.seconds > settings.READY_MAX_LAG_SECONDS or each.events > settings.READY_MAX_LAG_EVENTS
        for each in lags
    )
    return BEHIND if late and not _closed() else OK


def _closed() -> bool:
    """Whether the read models are closed to writes for now: they lag on purpose, and can still be read.

    The read models of a store that has moved away lag for good.
    """
    return maintenance.states(["projections"]).get("projections") in ("maintenance", "moving")


@cache
def _known_migrations(alias: str) -> frozenset[tuple[str, str]]:
    """Return the migrations on disk for a store."""
    return frozenset(migrations.known(alias))
