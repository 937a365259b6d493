"""Collections: subscribed feeds, grouped under a name and a color."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from api.fields import Color, Feed, NewColor
from api.titles import Titles
from api.v1 import lists
from api.v1.lists import Kind, ListChanges, NewList, NewMember, Order
from eventstore.domain import collections
from eventstore.domain.identifiers import url_of_feed
from eventstore.domain.user import User
from projections import lists as reads
from projections.lists import CollectionFeedRow


class Collection(Struct):
    """A collection without its feeds. The default collection holds every feed that the user follows; it
    cannot be deleted, and no feed can be removed from it (422 `default_collection`). `updated_at`: when its
    name, description, color, visibility or order last changed."""

    id: UUID
    name: str
    description: str | None
    color: str | None
    is_public: bool
    is_default: bool
    updated_at: datetime
    feed_count: int


class CollectionFeed(Struct):
    """A feed of a collection. Title and cover are null while the feed has not been fetched."""

    rss_source_feed: str
    feed_url: str
    rss_feed_title: str | None
    cover: str | None
    added_at: datetime


class CollectionBody(NewList, kw_only=True):
    """`id`: chosen by the app; without it the server chooses one. Others see the collection only if it is
    public."""

    color: Color | None = None


class CollectionChanges(ListChanges, kw_only=True):
    """What is left out or null does not change; an empty description or color removes it."""

    color: NewColor | None = None


class CollectionFeedBody(NewMember, kw_only=True):
    """A feed that the user follows (422 `not_subscribed`). `added_at` is for what was done offline."""

    rss_source_feed: Feed


class OrderedFeed(Struct):
    rss_source_feed: Feed


class CollectionOrder(Order):
    """The feeds in their new order; feeds that are not listed come after these."""

    place: ClassVar = ("feeds", "rss_source_feed")

    feeds: list[OrderedFeed]

    def names(self) -> Sequence[str]:
        return [feed.rss_source_feed for feed in self.feeds]


def _show_feed(row: CollectionFeedRow, titles: Titles) -> CollectionFeed:
    feed = row.rss_source_feed
    described = titles.feed_title(feed), titles.cover(feed)
    return CollectionFeed(feed, url_of_feed(feed), *described, row.added_at)


def _state(user: User, collection_id: UUID) -> Collection:
    of = user.collections[str(collection_id)]
    if of.is_default:
        count = sum(one.active for one in user.subscriptions.values())
    else:
        count = sum(map(collections.FEEDS.is_on, of.members.values()))
    return Collection(
        collection_id,
        of.name,
        of.description,
        of.color,
        of.is_public,
        of.is_default,
        of.updated_at,
        count,
    )


paths = lists.paths(
    Kind(
        register=collections.REGISTER,
        reads=reads.COLLECTIONS,
        shape=Collection,
        member_shape=CollectionFeed,
        member_name=Feed,
        taken=(CollectionBody, CollectionChanges, CollectionFeedBody, CollectionOrder),
        show_member=_show_feed,
        state=_state,
    )
)
