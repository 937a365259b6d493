"""Whether this process can do its work: the stores answer and have the tables that the code knows."""

from functools import cache
from typing import NamedTuple

import redis
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from projections.failures import is_outage

PATIENCE = {"socket_timeout": 2, "socket_connect_timeout": 2}
STORES = ("system", "projections", "events")


class Fault(NamedTuple):
    store: str
    reason: str


def fault() -> Fault | None:
    """The first store that cannot be worked with; None when all can. Waits up to 5 s for one that is away."""
    for alias in STORES:
        try:
            applied = MigrationRecorder(connections[alias]).applied_migrations()
        except Exception as error:
            if not is_outage(error):
                raise
            return Fault(alias, "unreachable")
        if not _known_migrations() <= applied.keys():
            return Fault(alias, "migrations are missing")
    try:
        with redis.Redis.from_url(settings.REDIS_URL, **PATIENCE) as connection:
            connection.ping()
    except redis.RedisError:
        return Fault("redis", "unreachable")
    return None


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """What is on disk. Every store records every migration, whether it changed that store or not."""
    return frozenset(MigrationLoader(None).disk_migrations)
