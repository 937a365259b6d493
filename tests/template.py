"""``python -m tests.template DIRECTORY`` creates a PostgreSQL data directory with migrated stores.

``make test`` creates one and gives each of its parts a copy, so that they need not create and migrate their
stores. ``test_balados`` holds all three stores; ``test_balados_projections`` and ``_events`` hold these two
in databases of their own. ``balados`` is the database of an instance as ``make run`` creates it. The
databases in ``READY`` are in the state in which ``db_init`` leaves them; they are only copied, and no test
connects to them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

READY = {"one": "ready_in_one", "three": "ready_in_three"}


def main(directory: Path) -> None:
    from tests import servers  # noqa: F401  starts them

    os.environ["DJANGO_SETTINGS_MODULE"] = "balados.settings"
    import django
    from django.db import connections

    django.setup()
    from operations import stores
    from tests import embedding

    three = {alias: str(connections[alias].settings_dict["NAME"]) for alias in stores.SCHEMAS}
    one = dict.fromkeys(three, "balados")
    migrate(three)
    make_ready(
        three, {alias: name.replace("test_balados", READY["three"], 1) for alias, name in three.items()}
    )
    migrate(dict.fromkeys(three, "test_balados"))
    migrate(one)
    make_ready(one, dict.fromkeys(one, READY["one"]))
    home = Path(os.environ["BALADOS_HOME"])
    embedding.stop_postgres(home)
    # keeps the owner, who is another user if we are root
    subprocess.run(["cp", "--archive", home / "postgres", directory], check=True)


def migrate(names: Mapping[str, str]) -> None:
    """Create the stores in databases of these names, by alias."""
    from operations import stores

    with at(names):
        stores.create(say=str)
        stores.migrate(verbosity=0, say=str)


def make_ready(names: Mapping[str, str], copies: Mapping[str, str]) -> None:
    """Copy migrated stores, and add to the copies all that a new instance has."""
    from django.core.management import call_command

    for name, ready in {(names[alias], copies[alias]) for alias in names}:
        copy(name, ready)
    with at(copies):
        call_command("db_init", verbosity=0, stdout=StringIO())


@contextmanager
def at(names: Mapping[str, str]) -> Iterator[None]:
    """Within the block, the stores are in databases of these names; afterwards, nobody is connected to
    them."""
    from django.db import connections

    from eventstore import instance

    for alias, name in names.items():
        connections[alias].settings_dict["NAME"] = name
    instance.clear_cache()
    yield
    for alias in names:
        connections[alias].close()
        connections[alias].close_pool()  # type: ignore[attr-defined]


def copy(database: str, name: str) -> None:
    """Copy a database that nobody is connected to. Copying its files takes a tenth of the time of logging
    their pages."""
    import psycopg
    from psycopg import sql

    from operations.stores import parameters

    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(**{**parameters("system"), "dbname": "postgres"}, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(database)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
