"""Two instances for all end-to-end tests: one that is only used, one that is killed and stopped as well."""

from collections.abc import Iterator

import pytest

from tests.e2e.instances import Instance, free_port, running


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
