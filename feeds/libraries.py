"""Export a listener's subscriptions as a list of feeds, and turn such a list into one command.

Both use the listener's aggregate, so that the latest writes are included.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from eventstore.domain import collections
from eventstore.domain.collections import Collection, CollectionEntry, CollectionFeedEntry
from eventstore.domain.identifiers import url_of_feed
from eventstore.domain.secrets import is_secret_feed
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncUserData
from eventstore.domain.times import NEVER
from eventstore.domain.user import User
from feeds.models import Feed
from feeds.opml import FeedList, Outline, write_opml
from feeds.queries import feeds_of


class Imported(NamedTuple):
    """``command``: the command that records the import, in one append. ``new``: how many feeds were not
    followed before; ``known``: how many were; ``folders``: how many folders became or joined collections."""

    command: SyncUserData
    new: int
    known: int
    folders: int


def import_of(listed: FeedList, user: User, now: datetime, *, with_folders: bool = True) -> Imported:
    """Return the command that subscribes to the feeds of a list. Each folder becomes a collection, or is
    added to the collection of the same name.

    What is already the case is left out: importing the same list a second time records nothing.
    """
    new = [feed for feed in listed.feeds if not is_followed(user, feed)]
    command = SyncUserData(
        user_id=user.user_id,
        now=now,
        subscriptions=[SubscriptionEntry(rss_source_feed=feed, subscribed_at=now) for feed in new],
        collections=list(_collections(listed, user, now)) if with_folders else [],
    )
    folders = len(listed.folders) if with_folders else 0
    return Imported(command, len(new), len(listed.feeds) - len(new), folders)


def export_of(user: User, *, with_secrets: bool = False) -> bytes:
    """Return the OPML document of all subscriptions, sorted by title, with collections as folders; a feed in
    two collections appears twice.

    Feeds with a secret address are included only ``with_secrets``: whoever has the file could listen to them.
    """
    feeds = [
        feed
        for feed in user.subscriptions
        if is_followed(user, feed) and (with_secrets or not is_secret_feed(feed))
    ]
    outlines = _outlines(feeds)
    placed = [
        (of.name, [feed for feed in collections.REGISTER.arranged(of) if feed in outlines])
        for _, of in _own_collections(user)
    ]
    loose = outlines.keys() - {feed for _, inside in placed for feed in inside}
    folders = [("", list(loose)), *sorted(placed, key=lambda one: (one[0].casefold(), one))]
    written = [(name, sorted((outlines[feed] for feed in inside), key=_by_title)) for name, inside in folders]
    return write_opml("Podcasts", _changed_at(user, feeds), written)


def is_followed(user: User, feed: str) -> bool:
    return feed in user.subscriptions and user.subscriptions[feed].active


def _collections(listed: FeedList, user: User, now: datetime) -> Iterator[CollectionEntry]:
    """Yield what is new in the collections that correspond to a list's folders."""
    known = {of.name.casefold(): (key, of) for key, of in _own_collections(user, with_default=True)}
    for name in listed.folders:
        feeds = [feed for feed, folders in listed.feeds.items() if name in folders]
        key, of = known.get(name.casefold(), (str(_id_of(user.user_id, name)), None))
        if of is None:
            members = [CollectionFeedEntry(feed, place, now) for place, feed in enumerate(feeds)]
            yield CollectionEntry(UUID(key), name, now, feeds=members)
        elif not of.is_default:
            missing = [feed for feed in feeds if feed not in collections.REGISTER.arranged(of)]
            members = [CollectionFeedEntry(feed, added_at=now) for feed in missing]
            # NEVER leaves the collection itself as it is: any other change of it is later
            if members:
                yield CollectionEntry(UUID(key), of.name, NEVER, feeds=members)


def _own_collections(user: User, *, with_default: bool = False) -> Iterator[tuple[str, Collection]]:
    for key, of in user.collections.items():
        if collections.REGISTER.is_on(of) and (with_default or not of.is_default):
            yield key, of


def _id_of(user_id: UUID, name: str) -> UUID:
    """Return the id of the collection for a folder: always the same, so that two imports create only one."""
    return uuid5(user_id, f"folder:{name.casefold()}")


def _outlines(feeds: Sequence[str]) -> dict[str, Outline]:
    """Return the outlines of feeds, with titles and websites as far as they are known."""
    shown = feeds_of(feeds)
    ids = {one.id for one in shown.values()}
    links = dict(Feed.objects.using("system").filter(id__in=ids).values_list("id", "link"))
    known = {feed: (one.title, links.get(one.id, "")) for feed, one in shown.items()}
    return {feed: Outline(feed, *known.get(feed, ("", ""))) for feed in feeds}


def _by_title(outline: Outline) -> tuple[str, str]:
    url = url_of_feed(outline.feed)
    return (outline.title or url).casefold(), url


def _changed_at(user: User, feeds: Sequence[str]) -> datetime:
    """Return when the list was last changed."""
    followed = (user.subscriptions[feed].subscribed_at for feed in feeds)
    named = (of.updated_at for _, of in _own_collections(user))
    return max(filter(None, (*followed, *named)), default=datetime.fromtimestamp(0, UTC))
