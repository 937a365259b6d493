"""Three instances for all end-to-end tests: one for ordinary use, one that may also be killed and stopped,
and one that has never been used."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.e2e.instances import SETUP_TOKEN, Instance, free_port, running


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    own = {"LIVE": "on", "LIVE_PORT": str(free_port())}
    with running(tmp_path_factory.mktemp("instance"), **own) as started:
        started.set_up()
        yield started


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("victim"), WEB_CONCURRENCY="2") as started:
        started.set_up()
        yield started


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that waits for its set-up, with databases of its own on this test run's servers. Only one
    test may set it up."""
    urls = {}
    for variable in ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL"):
        start, _, rest = os.environ[variable].partition("?")
        urls[variable] = f"{start.rpartition('/')[0]}/launch_{variable.lower()}?{rest}"
    own = {**urls, "REDIS_URL": os.environ["REDIS_URL"], "SETUP_TOKEN": SETUP_TOKEN}
    try:
        with running(tmp_path_factory.mktemp("newcomer"), **own) as started:
            yield started
    finally:
        for url in urls.values():
            drop(url)


def drop(url: str) -> None:
    name = sql.Identifier(url.partition("?")[0].rpartition("/")[2])
    maintenance = os.environ["DATABASE_URL"].replace("/test_balados", "/postgres", 1)
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
