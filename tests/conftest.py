"""The stores of a test run, and the people in the tests: Alice is the owner, Bob another listener, Charlie an
outsider."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as configuration
from django.db import connections
from hypothesis import settings
from pytest_django import DjangoDbBlocker
from whitenoise.middleware import WhiteNoiseMiddleware

from accounts.models import User
from accounts.passwords import SmallArgon2PasswordHasher
from tests import leaks
from tests.factories import UserFactory

# The number of examples for each property. Each run draws different ones, so an ordinary run need not draw
# many. There is no deadline, because an example's duration depends mostly on how busy the machine is.
for name, examples in {"balados": 40, "whole": 100, "thorough": 1_000}.items():
    settings.register_profile(name, deadline=None, max_examples=examples)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "balados"))
STORES = ("system", "projections", "events")


def pytest_sessionstart() -> None:
    # otherwise every test client lists all static files at its first request, which takes 50 ms
    configuration.WHITENOISE_AUTOREFRESH = True
    # Hashing is slow on purpose. Only instances in processes of their own (end-to-end tests) hash at the
    # usual cost.
    SmallArgon2PasswordHasher.memory_cost, SmallArgon2PasswordHasher.time_cost = 64, 1
    leaks.begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run test_leaks.py last: it searches what all other tests have logged for their secrets."""
    items.sort(key=lambda item: item.path.name == "test_leaks.py")


@pytest.fixture(scope="session", autouse=True)
def _look_for_static_files_once() -> Iterator[None]:
    """Let WhiteNoise look for static files once. Every test client has its own middleware, and WhiteNoise's
    looks for 170 files when it is created."""
    found: dict[str, Any] = {}
    look = WhiteNoiseMiddleware.add_files_from_finders

    def look_once(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            look(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", look_once)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Create the stores as an operator would, unless they came with a copy of a cluster.

    Django's own test databases are not suitable: it treats three aliases of one database as one.
    """
    from operations import stores

    with django_db_blocker.unblock():
        if not os.environ.get("TEST_CLUSTER"):
            stores.create()
            stores.migrate(verbosity=0)
        yield
        for alias in STORES:
            connections[alias].close()
            connections[alias].close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def alice(stores: None) -> "User":
    return UserFactory.create(username="alice")


@pytest.fixture
def bob(stores: None) -> "User":
    return UserFactory.create(username="bob")


@pytest.fixture
def charlie(stores: None) -> "User":
    return UserFactory.create(username="charlie")


KEPT = {"django_migrations", "django_content_type", "auth_permission", "instance"}


@pytest.fixture
def stores(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Give access to the three stores with real commits; they and the caches of this process are emptied
    after the test."""
    with _used(django_db_blocker):
        yield


@pytest.fixture(scope="module")
def shared_stores(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Do the same, but empty the stores after the last test of a module: for tests that leave no rows behind,
    or are not affected by them."""
    with _used(django_db_blocker):
        yield


@contextmanager
def _used(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        clear_caches()
        yield
        for alias in STORES:
            empty(alias)
        clear_caches()


def clear_caches() -> None:
    from eventstore import dispatcher, instance, log

    dispatcher.clear_cache()
    log.clear_caches()
    instance.clear_cache()


def empty(alias: str) -> None:
    """Delete the rows of every table of one store, and reset its sequences.

    Tables in tests are small, so DELETE takes a third of the time of TRUNCATE. It runs in the role of a
    replica, because triggers guard rows that must not be deleted.
    """
    from operations.stores import SCHEMAS

    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)", [list(SCHEMAS[alias])]
        )
        names = [f'"{schema}"."{table}"' for schema, table in cursor.fetchall() if table not in KEPT]
        if not names:
            return
        tests = ", ".join(f"EXISTS (SELECT 1 FROM {name})" for name in names)
        cursor.execute(f"SELECT {tests}")
        full = [name for name, has_rows in zip(names, cursor.fetchone(), strict=True) if has_rows]
        if not full:
            return
        deletions = "; ".join(f"DELETE FROM {name}" for name in full)
        cursor.execute(f"SET session_replication_role = replica; {deletions}; RESET session_replication_role")
        cursor.execute(
            """SELECT setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_depend ON objid = seqrelid
                WHERE deptype IN ('a', 'i') AND refobjid = ANY(%s::regclass[]::oid[])""",
            [full],
        )
