"""Collections, and the feeds that are or were in them.

No events put feeds into the default collection: it holds what is subscribed to, so its rows are written from
the events of subscriptions.
"""

from eventstore.domain import subscriptions
from eventstore.domain.collections import TOPIC, CollectionFeed, default_id
from eventstore.domain.subscriptions import Subscription
from projections.projectors.registers import Shown, project_ordered_set


def _member(of: Subscription) -> CollectionFeed:
    return CollectionFeed(of.subscribed_at, of.unsubscribed_at)


projector = project_ordered_set(
    TOPIC,
    lists="users.collections",
    order="feed_order",
    members="users.collection_feeds",
    shown=Shown(subscriptions.TOPIC, default_id, _member),
)
