"""What the subscriptions projector makes of the events."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from eventstore.dispatcher import dispatch
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.store import Origin
from projections import queries
from tests.projecting import bring_up_to_date

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALICE, BOB = uuid4(), uuid4()
FEED = "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVk"


def test_it_shows_what_alice_follows_and_nothing_of_bob() -> None:
    dispatch(Subscribe(user_id=ALICE, feed=FEED, now=NOW, source_id="a"), Origin())
    bring_up_to_date()
    page = queries.subscriptions(ALICE)
    assert page.rows == [queries.SubscriptionRow(FEED, "a", NOW, None)]
    assert queries.subscriptions(BOB).rows == []


def test_it_keeps_what_was_removed_for_those_who_ask() -> None:
    dispatch(Subscribe(user_id=ALICE, feed=FEED, now=NOW), Origin())
    dispatch(Unsubscribe(user_id=ALICE, feed=FEED, now=NOW + timedelta(hours=1)), Origin())
    bring_up_to_date()
    assert queries.subscriptions(ALICE).rows == []
    (row,) = queries.subscriptions(ALICE, include_removed=True).rows
    assert not row.active
