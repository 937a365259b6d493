"""The configuration of the three stores, from their URLs.

psycopg is imported only where a URL is parsed. ``make run`` imports this module with the settings and stays
alive as long as the instance, and so does without 20 MB.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

FORM = "of the form postgresql://user:password@host:port/name (?host=/directory names a unix socket)"
# Per store, the schema for unqualified table names: Django's own and third-party tables (sessions,
# django_migrations). Our own tables are always named with their schema.
SEARCH_PATHS = {"system": "system", "projections": "users", "events": "events"}
# Session settings that our statements depend on, because a server, role or database may have changed them.
SESSION = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": r"read\ committed",
}
# A log that has just been filled has no statistics yet: plans made for specific parameters then sorted the
# whole log for each page (110 ms, where the generic plan walks the index in 10 ms). And a log that was small
# when it was last analysed is scanned in full until it is analysed again: 5,000 events later, a play took 2.3
# ms of the server's processor time instead of 0.5 ms.
PLANS = {"events": {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}}
# A rebuild locks the tables that it swaps, and a replica holds that lock until it has received the whole
# transaction, however long that takes. A read that meets the lock on a replica goes to the primary instead.
ON_REPLICA = " -c default_transaction_read_only=on -c lock_timeout=100ms"
# An unreachable replica must not keep anybody waiting, since the primary has the same rows.
NO_WAITING = {"timeout": 0.5, "reconnect_timeout": 1.0}
QUICKLY = {
    "connect_timeout": 2,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 3_000,
}


def check_url(url: str) -> str:
    """Return ``url`` unchanged. Raises ``ValueError`` if it is not valid, without quoting it: it may contain
    a password."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parsed = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(f"not {FORM}") from None
    ports = str(parsed.get("port") or "5432").split(",")
    if "://" not in url or not parsed.get("dbname") or not all(map(_is_port, ports)):
        raise ValueError(f"not {FORM}")
    return url


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65_536


def store(alias: str, url: str, *, pool: dict[str, Any]) -> dict[str, Any]:
    """Return the Django configuration of one store from its ``postgresql://`` URL. A store without a URL gets
    blank values, and can be used once they are filled in.

    Prepared statements, which Django leaves off, are switched on: that gives 1.7 times the appends per second
    at 8 clients (docs/performance-details.md). Raises ``ImproperlyConfigured``, without quoting the URL.
    """
    from psycopg.conninfo import conninfo_to_dict

    try:
        options: dict[str, Any] = conninfo_to_dict(check_url(url)) if url else {}
    except ValueError as error:
        raise ImproperlyConfigured(f"The URL of the {alias} store is {error}.") from None
    places = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    session = {"search_path": SEARCH_PATHS[alias], **SESSION, **PLANS.get(alias, {})}
    return {
        "ENGINE": "balados.postgresql",
        **{place: options.pop(name, "") for place, name in places.items()},
        "CONN_HEALTH_CHECKS": False,
        "OPTIONS": {
            "connect_timeout": 5,
            **options,
            "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
            "application_name": f"balados-{alias}",
            "server_side_binding": True,
            "prepare_threshold": 1,
            "pool": {"name": alias, **pool} if pool else {},
        },
        # without this, some selections of tests fail with "Circular dependency in TEST[DEPENDENCIES]"
        "TEST": {"DEPENDENCIES": []},
    }


def place_of(configured: Mapping[str, Any]) -> str:
    """Return a text that is the same for configured stores in the same database, reached in the same way."""
    own = ("options", "application_name", "pool")
    options = {name: value for name, value in configured["OPTIONS"].items() if name not in own}
    return repr([[configured[name] for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD")], options])


def replicas(urls: Iterable[str], *, pool: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the same configuration for streaming replicas of the projections, by alias."""
    from projections.connect import ConnectionWithTimeout

    quick = {**NO_WAITING, "connection_class": ConnectionWithTimeout}
    found = {}
    for number, url in enumerate(urls, 1):
        alias = f"projections_replica_{number}"
        configured = store("projections", url, pool={**pool, **quick, "name": alias})
        options = configured["OPTIONS"]
        options |= {**QUICKLY, "application_name": f"balados-replica-{number}"}
        options["options"] += ON_REPLICA
        found[alias] = configured
    return found
