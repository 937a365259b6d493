"""/collections: followed podcasts in groups, and putting a podcast into some of them."""

from collections.abc import Sequence
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.pages import read_or_post
from eventstore.domain import collections
from eventstore.domain.identifiers import feed_key_of
from feeds import browsing
from feeds.queries import feeds_for
from projections import queries
from projections.lists import COLLECTIONS, CollectionFeedRow
from web import display, list_membership
from web.addresses import in_path
from web.list_forms import CollectionForm
from web.list_membership import MembershipForm
from web.lists import ListKind, Member, Words
from web.read_your_writes import caught_up
from web.shortcuts import for_listeners


def show(user_id: UUID, rows: Sequence[CollectionFeedRow]) -> list[Member]:
    """Return the podcasts of a listener's own collection, with the number of episodes not played yet."""
    feeds = [row.rss_source_feed for row in rows]
    known = browsing.summaries(feeds_for(user_id, feeds))
    played = queries.played_counts(user_id, feeds)
    return [
        Member(feed_key_of(feed), display.counted(feed, known.get(feed), played.get(feed, 0)))
        for feed in feeds
    ]


KIND = ListKind(
    register=collections.REGISTER,
    reads=COLLECTIONS,
    form=CollectionForm,
    words=Words(
        title=_("Collections"),
        new=_("New collection"),
        edit=_("Edit the collection"),
        made=_("%(list)s is ready."),
        deleted=_("%(list)s is deleted."),
        exists=_("You have a collection made by this form already."),
    ),
    names=lambda row: {"feed": row.rss_source_feed},
    key=lambda row: feed_key_of(row.rss_source_feed),
    show=show,
    order=lambda rows: tuple(row.rss_source_feed for row in rows),
)


@read_or_post
@for_listeners
def choose(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Choose the collections that contain a followed podcast, or create a new one for it."""
    with caught_up(request, "collections", "subscriptions"):
        subscription = queries.subscription(user.pk, feed)
        if subscription is None or not subscription.active:
            raise Http404
        known = feeds_for(user.pk, [feed])
        holding = COLLECTIONS.containing(user.pk, feed_key_of(feed))
        lists = [each for each in KIND.all_of(user.pk) if not each.is_default]
    path = f"/podcasts/{in_path(feed)}"
    title = display.named(feed, known.get(feed)).title
    choice = MembershipForm(KIND, lists, holding, {"feed": feed}, {}, title, path, f"{path}/collections")
    return list_membership.answer(request, user, choice)
