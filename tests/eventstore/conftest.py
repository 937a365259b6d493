import pytest

from eventstore.domain import collections


@pytest.fixture(autouse=True)
def no_default_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event for each command: what else the first subscription creates is a matter of the domain."""
    monkeypatch.setattr(collections, "default", lambda state, user_id, now: None)
