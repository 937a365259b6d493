"""Where the three stores live, read from the environment."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

# The schema that unqualified names fall into, per store: Django's own and third-party tables (sessions,
# django_migrations). Our own tables are named with their schema and do not depend on it.
SEARCH_PATHS = {"system": "system", "projections": "users", "events": "events"}
# A log that was just filled has no statistics yet: plans made for the parameters at hand then sorted all of
# it for each page (110 ms where the generic plan walks the index in 10).
PLANS = {"events": " -c plan_cache_mode=force_generic_plan"}


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


def _parsed(alias: str, url: str) -> dict[str, Any]:
    try:
        parsed = environ.Env.db_url_config(url, engine="balados.postgresql")
    except ValueError:  # a port that is no number, a bracket left open
        parsed = {}
    if not url.startswith(("postgresql://", "postgres://")) or not parsed.get("NAME"):
        raise ImproperlyConfigured(
            f"The URL of the {alias} store is not of the form postgresql://user:password@host:port/name"
            " (DATABASE_URL, PROJECTIONS_URL and EVENT_STORE_URL: docs/settings.md)."
        )
    return dict(parsed)
