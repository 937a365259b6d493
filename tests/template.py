"""``python -m tests.template DIRECTORY``: a PostgreSQL data directory with migrated stores.

``make test`` makes one and gives each of its parts a copy, so that they need not create and migrate their
stores. ``test_balados`` has all three; ``test_balados_projections`` and ``_events`` the two in databases of
their own. ``balados`` is that of an instance as ``make run`` makes it. ``READY`` are those that no test
connects to, for copies.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
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
    migrate(three)
    for name in three.values():
        copy(name, name.replace("test_balados", READY["three"], 1))
    migrate(dict.fromkeys(three, "test_balados"))
    migrate(dict.fromkeys(three, "balados"))
    copy("balados", READY["one"])
    home = Path(os.environ["BALADOS_HOME"])
    embedding.stop_postgres(home)
    # with its owner, which is not us where we are root
    subprocess.run(["cp", "--archive", home / "postgres", directory], check=True)


def migrate(names: Mapping[str, str]) -> None:
    """Make the stores in databases of these names, by alias; nobody is connected to them afterwards."""
    from django.db import connections

    from eventstore import instance
    from operations import stores

    for alias, name in names.items():
        connections[alias].settings_dict["NAME"] = name
    instance.forget()
    stores.create(say=str)
    stores.migrate(verbosity=0, say=str)
    for alias in names:
        connections[alias].close()
        connections[alias].close_pool()  # type: ignore[attr-defined]


def copy(database: str, name: str) -> None:
    """Copy a database that nobody is connected to. Copying its files takes a tenth of logging their pages."""
    import psycopg
    from psycopg import sql

    from operations.stores import parameters

    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(**{**parameters("system"), "dbname": "postgres"}, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(database)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
