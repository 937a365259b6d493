"""Projecting in the process of the test, for tests that need read models but no projector process."""

from eventstore.follower import settled_head
from projections.catchup import catch_up
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.worker import Worker


def bring_up_to_date() -> int:
    """Bring every projector to the head of the log; returns that position."""
    head = settled_head()
    with connect("projections") as connection:
        for projector in PROJECTORS.values():
            catch_up([Worker(projector, connection)], head)
    return head
