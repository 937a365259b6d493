"""One instance for all end-to-end tests that do not break it."""

from collections.abc import Iterator

import pytest

from tests.e2e.instances import Instance, running


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("instance")) as started:
        started.set_up()
        yield started
