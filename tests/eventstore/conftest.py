import pytest

from eventstore.domain import collections


@pytest.fixture(autouse=True)
def no_default_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record one event per command: the default collection of a first subscription is left to other tests."""
    monkeypatch.setattr(collections, "default", lambda state, user_id, now: None)
