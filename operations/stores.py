"""Creating and migrating the three stores, whether they share one database or not."""

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import sql

SCHEMAS = {"system": ("system",), "projections": ("users", "public"), "events": ("events",)}
# What an acknowledged write rests on: "off" loses it in a crash. Projections can be rebuilt, these cannot.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
LASTING = ("events", "system")
MIGRATION_LOCK = 0x62616C61  # "bala": one migrator at a time


# the comment on a store's schema while operations/restores.py is at it
RESTORING = "balados: being restored"
COMMENT = "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')"


class UnsafeStore(Exception):
    """A store's server may lose what it acknowledged, or the store is half restored; the text says which."""


def create() -> list[str]:
    """Create the databases that do not exist and every store's schemas. Returns the databases created.

    Repeatable. Raises ``psycopg.Error`` when a server is away or the role may not create databases.
    """
    created = []
    for alias, schemas in SCHEMAS.items():
        params = parameters(alias)
        name = str(params["dbname"])
        with contextlib.suppress(psycopg.errors.DuplicateDatabase):
            if not _exists(params):
                with psycopg.connect(**{**params, "dbname": "postgres"}, autocommit=True) as maintenance:
                    maintenance.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                created.append(name)
        with psycopg.connect(**params, autocommit=True) as connection:
            for schema in schemas:
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    return created


def migrate(verbosity: int = 1) -> None:
    """Bring every store to its newest migration; a second migrator waits for the first."""
    with _migration_lock():
        for alias in SCHEMAS:
            call_command("migrate", database=alias, interactive=False, verbosity=verbosity)


def refuse_unsafe() -> None:
    """Raise ``UnsafeStore`` when a store that nothing can rebuild is on a server that would lose writes."""
    for alias in LASTING:
        with psycopg.connect(**parameters(alias), autocommit=True) as connection:
            for setting in DURABILITY:
                row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
                if row == ("off",):
                    raise UnsafeStore(f"{setting} is off on the server of the {alias} store; switch it on")
            if being_restored(connection, alias):
                raise UnsafeStore(
                    f"A restore of the {alias} store has not ended: run that store_restore again, to its end"
                )


def being_restored(connection: psycopg.Connection[Any], alias: str) -> bool:
    """Whether a restore of this store has begun and not ended."""
    return connection.execute(COMMENT, [SCHEMAS[alias][0]]).fetchone() == (RESTORING,)


def parameters(alias: str) -> dict[str, Any]:
    """What ``psycopg.connect`` needs for a plain connection to a store, outside Django's pool."""
    settings = connections[alias].settings_dict
    wanted = {
        "dbname": settings["NAME"],
        "user": settings["USER"],
        "password": settings["PASSWORD"],
        "host": settings["HOST"],
        "port": settings["PORT"],
        "connect_timeout": 5,
    }
    options = {
        key: value for key, value in settings["OPTIONS"].items() if key.startswith("ssl") or key == "passfile"
    }
    return {**options, **{key: value for key, value in wanted.items() if value}}


def _exists(params: dict[str, Any]) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(**params).close()
        return True
    return False


@contextlib.contextmanager
def _migration_lock() -> Iterator[None]:
    with psycopg.connect(**parameters("system"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        yield
