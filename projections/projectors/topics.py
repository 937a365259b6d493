"""The projectors of topics: the names of their tables follow from what the topics declare."""

from eventstore.domain import collections, subscriptions
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.subscriptions import Subscription
from eventstore.domain.topic import Topic
from projections.projectors.registers import Shown, project_ordered_set, project_register
from projections.projectors.shape import Projector

# the tables that are not named as the topic's entries are in syncs
TABLES = {"privacy": "user_privacy"}


def _member(of: Subscription) -> collections.CollectionFeed:
    return collections.CollectionFeed(of.subscribed_at, of.unsubscribed_at)


# No events put feeds into the default collection: it holds what is subscribed to, so its rows are written
# from the events of subscriptions.
SHOWN = {"collections": Shown(subscriptions.TOPIC, collections.default_id, _member)}


def project_topic(topic: Topic) -> Projector:
    """Return a topic's projector. The entries of a register are in one table, say ``users.devices``; an
    ordered set is in two, say ``users.playlists`` with ``item_order``, and ``users.playlist_items``."""
    register, table = topic.register, f"users.{TABLES.get(topic.name, topic.plural)}"
    if not isinstance(register, OrderedSet):
        return project_register(topic, table)
    members = register.plural
    return project_ordered_set(
        topic,
        lists=table,
        order=f"{members.removesuffix('s')}_order",
        members=f"users.{topic.kind}_{members}",
        shown=SHOWN.get(topic.name),
    )
