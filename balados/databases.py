"""Where the three stores live, and Redis, read from the environment."""

from collections.abc import Iterable
from typing import Any

import environ
import redis
from django.core.exceptions import ImproperlyConfigured

from projections.connect import ConnectionWithTimeout

# The schema that unqualified names fall into, per store: Django's own and third-party tables (sessions,
# django_migrations). Our own tables are named with their schema and do not depend on it.
SEARCH_PATHS = {"system": "system", "projections": "users", "events": "events"}
# A log that was just filled has no statistics yet: plans made for the parameters at hand then sorted all of
# it for each page (110 ms where the generic plan walks the index in 10).
PLANS = {"events": " -c plan_cache_mode=force_generic_plan"}
# A rebuild locks the tables that it swaps: a replica until it has got all of that transaction, whenever that
# is. Whoever meets the lock there reads the primary instead.
ON_REPLICA = " -c default_transaction_read_only=on -c lock_timeout=100ms"
# A replica that is away must not keep anybody waiting: the primary has the same rows.
NO_WAITING = {"timeout": 0.5, "reconnect_timeout": 1.0, "connection_class": ConnectionWithTimeout}
QUICKLY = {
    "connect_timeout": 2,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 3_000,
}


def store(alias: str, url: str, *, pool: dict[str, Any]) -> dict[str, Any]:
    """The Django configuration of one store from its ``postgresql://`` URL.

    ``?host=/directory`` names a unix socket directory. Prepared statements are switched back on, which
    Django leaves off: 1.7 times the appends per second at 8 clients (docs/performance.md).
    Raises ``ImproperlyConfigured``, without the URL: it has the password in it.
    """
    parsed = _parsed(alias, url)
    options = parsed.pop("OPTIONS", {})
    for key in ("host", "port"):
        if key in options:
            parsed[key.upper()] = options.pop(key)
    return {
        **parsed,
        "CONN_HEALTH_CHECKS": False,
        "OPTIONS": {
            **options,
            "options": f"-c search_path={SEARCH_PATHS[alias]}{PLANS.get(alias, '')}",
            "connect_timeout": 5,
            "application_name": f"balados-{alias}",
            "server_side_binding": True,
            "prepare_threshold": 1,
            "pool": pool,
        },
        # without this, some selections of tests fail with "Circular dependency in TEST[DEPENDENCIES]"
        "TEST": {"DEPENDENCIES": []},
    }


def replicas(urls: Iterable[str], *, pool: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same for streaming replicas of the projections, by alias; blank ``urls`` are left out."""
    found = {}
    for number, url in enumerate(filter(None, map(str.strip, urls)), 1):
        alias = f"projections_replica_{number}"
        configured = store("projections", url, pool={**pool, **NO_WAITING, "name": alias})
        options = configured["OPTIONS"]
        options |= {**QUICKLY, "application_name": f"balados-replica-{number}"}
        options["options"] += ON_REPLICA
        found[alias] = configured
    return found


def redis_url(url: str) -> str:
    """``url``, as it is. Raises ``ImproperlyConfigured``, without the URL: it may have a password in it."""
    try:
        redis.Redis.from_url(url).close()  # it connects to nothing yet
    except ValueError:
        raise ImproperlyConfigured(
            "REDIS_URL is not of the form redis://:password@host:port/number, rediss:// or unix:///path"
            " (docs/settings.md)."
        ) from None
    return url


def _parsed(alias: str, url: str) -> dict[str, Any]:
    try:
        parsed = environ.Env.db_url_config(url, engine="balados.postgresql")
    except ValueError:  # a port that is no number, a bracket left open
        parsed = {}
    if not url.startswith(("postgresql://", "postgres://")) or not parsed.get("NAME"):
        raise ImproperlyConfigured(
            f"The URL of the {alias} store is not of the form postgresql://user:password@host:port/name"
            " (DATABASE_URL, PROJECTIONS_URL, PROJECTIONS_REPLICA_URLS, EVENT_STORE_URL: docs/settings.md)."
        )
    return dict(parsed)
