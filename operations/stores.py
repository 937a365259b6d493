"""Creating the three stores, whether they share one database or not."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from django.db import connections
from psycopg import sql

from operations import migrations
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive

SCHEMAS = {"system": ("system",), "projections": ("users", "public"), "events": ("events",)}
# What an acknowledged write rests on: "off" loses it in a crash. Projections can be rebuilt, these cannot.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
LASTING = ("events", "system")
LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer ones, and two stores could become one


# the comment on a store's schema while operations/restores.py is at it
RESTORING = "balados: being restored"
KNOWN = "SELECT FROM pg_database WHERE datname = %s"
COMMENT = "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')"


class UnsafeStore(OperatorError):
    """A store's server may lose what it acknowledged, or the store is half restored."""


class CannotCreate(OperatorError):
    """A database is not there and cannot be made."""


def create(aliases: Iterable[str] = tuple(SCHEMAS), say: Say = print) -> list[str]:
    """Create the databases that do not exist and the schemas of the stores. Returns the databases created.

    Repeatable, also by two at once. Raises ``CannotCreate``, and ``psycopg.Error`` when a server is away,
    refuses the password, or the role may not create schemas.
    """
    created = []
    for alias in aliases:
        params = parameters(alias)
        if _create_database(alias, params):
            created.append(str(params["dbname"]))
        with psycopg.connect(**params, autocommit=True) as connection:
            _refuse_old_server(connection, alias)
            wanted = [schema for schema in SCHEMAS[alias] if not _has_schema(connection, schema)]
            if not wanted:
                continue  # without a right to create any
            with exclusive(connection, alias, say):
                for schema in wanted:
                    connection.execute(
                        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
                    )
    return created


def migrate(verbosity: int = 1, say: Say = print) -> None:
    """Bring every store to its newest migrations. Raises what ``migrations.migrate`` raises."""
    for alias in SCHEMAS:
        migrations.migrate(alias, say, verbosity=verbosity)


def refuse_unsafe(aliases: Iterable[str] = LASTING) -> None:
    """Raise ``UnsafeStore`` when a store that nothing can rebuild is on a server that would lose writes."""
    for alias in aliases:
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


def is_missing(params: Mapping[str, Any]) -> bool:
    """Whether the server is there and the database is not: libpq says why it cannot connect in a text of the
    server's language alone, so the server is asked. Raises ``psycopg.OperationalError`` where it is away.
    """
    with _maintenance(params) as connection:
        return connection.execute(KNOWN, [params["dbname"]]).fetchone() is None


def _refuse_old_server(connection: psycopg.Connection[Any], alias: str) -> None:
    """What Django refuses at its own first connection, before anything is made. Raises ``CannotCreate``."""
    major, minor = divmod(connection.info.server_version, 10_000)
    (oldest,) = connections[alias].features.minimum_database_version or (0,)
    if major < oldest:
        raise CannotCreate(
            f"PostgreSQL {oldest} or newer is needed; the server of the {alias} store is {major}.{minor}."
        )


def _create_database(alias: str, params: dict[str, Any]) -> bool:
    """Whether the database had to be made."""
    name = str(params["dbname"])
    if len(name.encode()) > LONGEST_NAME:
        raise CannotCreate(f"{alias}: PostgreSQL's names have at most {LONGEST_NAME} bytes, not {name}.")
    if name in ("template0", "template1"):
        raise CannotCreate(f"{alias}: {name} is what PostgreSQL copies new databases from: name another.")
    try:
        psycopg.connect(**params).close()
        return False
    except psycopg.OperationalError as refused:
        try:
            missing = is_missing(params)
        except psycopg.OperationalError:
            raise refused from None
        if not missing:
            # made by somebody else since, or closed: the server says which
            psycopg.connect(**params).close()
            return False
    with _maintenance(params) as connection:
        return _create_missing(connection, alias, name)


def _maintenance(params: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """A connection to the server's own database."""
    return psycopg.connect(**{**params, "dbname": "postgres"}, autocommit=True)


def _create_missing(connection: psycopg.Connection[Any], alias: str, name: str) -> bool:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    try:
        connection.execute(statement)
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return False  # somebody else at the same moment
    except psycopg.errors.InsufficientPrivilege:
        role = connection.info.user
        by_hand = sql.SQL("{} OWNER {}").format(statement, sql.Identifier(role)).as_string(connection)
        raise CannotCreate(
            f"{alias}: there is no database {name}, and the role {role} may not create it.\n"
            f"As an administrator of the server: {by_hand}"
        ) from None
    return True


def _has_schema(connection: psycopg.Connection[Any], schema: str) -> bool:
    return connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None
