"""Stores other than those of the test run, for code that runs in the test's own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from typing import Any, cast
from uuid import uuid4

import psycopg
from django.db import connections

from eventstore import instance
from tests.operations.operating import drop, urls_on

STORES = ("system", "projections", "events")
Catalog = dict[str, frozenset[tuple[str, ...]]]
CATALOG = """
SELECT table_schema, 'column', table_name, column_name, data_type, is_nullable, coalesce(column_default, ''),
       coalesce(collation_name, '')
FROM information_schema.columns
UNION ALL SELECT schemaname, 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
UNION ALL SELECT nspname, 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(c.oid),
       '', '', ''
FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace
UNION ALL SELECT nspname, 'function', proname, prosrc, '', '', '', ''
FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
UNION ALL SELECT nspname, 'trigger', c.relname, tgname, pg_get_triggerdef(t.oid), '', '', ''
FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE NOT tgisinternal
UNION ALL SELECT nspname, 'type', typname, '', '', '', '', ''
FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype IN ('e', 'd')
UNION ALL SELECT schemaname, 'view', viewname, definition, '', '', '', '' FROM pg_views
UNION ALL SELECT schemaname, 'sequence', sequencename, '', '', '', '', '' FROM pg_sequences
"""


@contextmanager
def elsewhere(*, three: bool) -> Iterator[list[str]]:
    """Point all aliases at databases that do not exist yet, within the block; yield the databases' names."""
    urls = urls_on(environ["DATABASE_URL"], f"balados_{uuid4().hex[:8]}", three=three)
    names = {alias: str(psycopg.conninfo.conninfo_to_dict(url)["dbname"]) for alias, url in urls.items()}
    usual = {alias: connections[alias].settings_dict["NAME"] for alias in STORES}
    _point(names)
    try:
        yield sorted(set(names.values()))
    finally:
        _point(usual)
        drop(urls)


def catalog(alias: str) -> Catalog:
    """Return everything that a store's database contains, by schema."""
    found: dict[str, set[tuple[str, ...]]] = {}
    with connections[alias].cursor() as cursor:
        cursor.execute(CATALOG)
        for schema, *what in cursor.fetchall():
            if schema != "information_schema" and not schema.startswith("pg_"):
                found.setdefault(schema, set()).add(tuple(what))
    return {schema: frozenset(objects) for schema, objects in found.items()}


def tables(objects: frozenset[tuple[str, ...]]) -> set[str]:
    return {table for kind, table, *_ in objects if kind == "column"}


def _point(names: dict[str, str]) -> None:
    instance.clear_cache()
    for alias, name in names.items():
        connections[alias].close()
        cast(Any, connections[alias]).close_pool()
        connections[alias].settings_dict["NAME"] = name
