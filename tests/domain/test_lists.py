"""What playlists and collections have in common, where examples show it best."""

from itertools import permutations
from uuid import UUID

import pytest

from eventstore.domain.collections import CollectionCreated, CollectionUpdated
from eventstore.domain.messages import Event
from eventstore.domain.playlists import PlaylistCreated, PlaylistUpdated
from eventstore.domain.user import User, evolve
from tests.domain.scenarios import ALICE, NEWS, NOON

WALK = UUID(int=2)
# Pairs with the same time, as a wrong clock can cause. The created one is greater because of its description;
# the updated one has an order.
OF_ONE_TIME: list[tuple[Event, Event]] = [
    (
        PlaylistCreated(user_id=ALICE, playlist_id=WALK, name="Walk", description="z", updated_at=NOON),
        PlaylistUpdated(
            user_id=ALICE, playlist_id=WALK, name="Walk", is_public=False, order=(NEWS,), updated_at=NOON
        ),
    ),
    (
        CollectionCreated(user_id=ALICE, collection_id=WALK, name="Walk", description="z", updated_at=NOON),
        CollectionUpdated(
            user_id=ALICE, collection_id=WALK, name="Walk", is_public=False, order=(NEWS,), updated_at=NOON
        ),
    ),
]


@pytest.mark.parametrize("events", OF_ONE_TIME, ids=["playlist", "collection"])
def test_of_two_of_one_time_the_greater_counts_with_its_order_whichever_came_first(
    events: tuple[Event, Event],
) -> None:
    ends = []
    for order in permutations(events):
        user = User(ALICE)
        for event in order:
            evolve(user, event)
        ends.append((user.playlists, user.collections))
    assert ends[0] == ends[1]
    found = [(of.description, of.order) for of in ends[0][0].values()]
    found += [(of.description, of.order) for of in ends[0][1].values()]
    assert found == [("z", ())]
