"""Searching for a text in everything that an instance stores: every table of every store, and Redis."""

from typing import Any

import redis
from django.conf import settings
from django.db import connections
from psycopg import sql

from operations.stores import SCHEMAS


def found(*texts: str) -> list[str]:
    """Return the places where any of these texts occurs, whether a column stores it as text or as bytes."""
    places = [
        f"{alias}: {schema}.{table}"
        for alias, schemas in SCHEMAS.items()
        for schema, table in _tables(alias, schemas)
        if _holds(alias, schema, table, texts)
    ]
    return places + [
        f"redis: {key!r}" for key, value in _keys() if any(_in(text, key, value) for text in texts)
    ]


def _tables(alias: str, schemas: tuple[str, ...]) -> list[tuple[str, str]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2",
            [list(schemas)],
        )
        return [(schema, table) for schema, table in cursor.fetchall()]


def _holds(alias: str, schema: str, table: str, texts: tuple[str, ...]) -> bool:
    # a row cast to text shows bytea in hexadecimal
    wanted = [f"%{spelling}%" for text in texts for spelling in (_escaped(text), text.encode().hex())]
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} AS kept WHERE kept::text ILIKE ANY(%s))")
    with connections[alias].cursor() as cursor:
        cursor.execute(statement.format(sql.Identifier(schema, table)), [wanted])
        return bool(cursor.fetchone()[0])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _keys() -> list[tuple[bytes, Any]]:
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        keys = list(connection.scan_iter(count=1_000))
        return [(key, connection.dump(key)) for key in keys]


def _in(text: str, key: bytes, value: bytes | None) -> bool:
    return text.lower().encode() in key.lower() + (value or b"").lower()
