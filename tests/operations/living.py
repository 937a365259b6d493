"""Let this process work on an operator's stores, because running each command would take a second."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from pytest_django import DjangoDbBlocker

from balados import databases
from tests.conftest import STORES, clear_caches
from tests.operations.operating import Operator


class Life:
    """In the block ``at(urls)``, Django's stores are at ``urls``, and the erasure ledger is in ``home``."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._patch = monkeypatch

    @contextmanager
    def at(self, urls: Mapping[str, str], home: Path | None = None) -> Iterator[None]:
        self._patch.setattr(settings, "ERASURE_LEDGER", str((home or self.home) / "erasures"))
        with stores_at(urls):
            yield


@pytest.fixture
def life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> Iterator[Life]:
    with django_db_blocker.unblock():
        yield Life(tmp_path / "home", monkeypatch)


@pytest.fixture
def here(life: Life, operator: Operator) -> Iterator[Operator]:
    """The operator, whose stores this process uses while the test runs."""
    with life.at(operator.urls):
        yield operator


@contextmanager
def stores_at(urls: Mapping[str, str]) -> Iterator[None]:
    """Point Django's connections at the stores at ``urls`` until the end of the block."""
    before = {alias: connections.settings[alias] for alias in STORES}
    try:
        _move({alias: {**before[alias], **_place(alias, url)} for alias, url in urls.items()})
        yield
    finally:
        _move(before)


def _place(alias: str, url: str) -> dict[str, object]:
    found = databases.store(alias, url, pool={})
    return {key: found.get(key, "") for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}


def _move(places: Mapping[str, dict[str, object]]) -> None:
    for alias, place in places.items():
        connections[alias].close()
        connections[alias].close_pool()  # type: ignore[attr-defined]
        del connections[alias]
        connections.settings[alias] = place
    clear_caches()
