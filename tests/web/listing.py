"""Helpers that create listeners' playlists and collections, as pages show them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import AddFeedToCollection, CreateCollection
from eventstore.domain.playlists import PlaylistEntry, PlaylistItemEntry
from eventstore.domain.sync import SyncUserData
from feeds.models import Episode, Feed
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW
from tests.web.people import Response, Visitor


def playlist(
    user: User,
    *episodes: Episode,
    name: str = "Morning",
    is_public: bool = False,
    made: UUID | None = None,
) -> UUID:
    """Create a playlist, with the id ``made`` if given, and bring the read models up to date."""
    (found,) = playlists_of(user, {name: episodes}, is_public=is_public, made=made)
    return found


def playlists_of(
    user: User,
    episodes: Mapping[str, Sequence[Episode]],
    *,
    is_public: bool = False,
    made: UUID | None = None,
) -> list[UUID]:
    """Create playlists, given by name, as one device syncs them, and bring the read models up to date."""
    entries = [
        PlaylistEntry(
            made or uuid4(),
            name,
            NOW,
            is_public=is_public,
            items=[
                PlaylistItemEntry(
                    name_of(each.feed), item_name(each), added_at=NOW + timedelta(milliseconds=number)
                )
                for number, each in enumerate(some)
            ],
        )
        for name, some in episodes.items()
    ]
    dispatch(SyncUserData(user_id=user.pk, now=timezone.now(), playlists=entries), Origin())
    bring_up_to_date()
    return [entry.id for entry in entries]


def collection(user: User, *feeds: Feed, name: str = "News", is_public: bool = False) -> UUID:
    """Create a collection of these feeds, which the user follows, and bring the read models up to date."""
    made = uuid4()
    dispatch(
        CreateCollection(user_id=user.pk, now=NOW, collection_id=made, name=name, is_public=is_public),
        Origin(),
    )
    for number, feed in enumerate(feeds):
        at = NOW + timedelta(hours=1, seconds=number)
        dispatch(
            AddFeedToCollection(user_id=user.pk, now=at, collection_id=made, feed=name_of(feed)), Origin()
        )
    bring_up_to_date()
    return made


def send(visitor: Visitor, path: str, fields: dict[str, Any], **headers: Any) -> Response:
    """Send a form, and bring the read models up to date."""
    response = visitor.send(path, fields, **headers)
    bring_up_to_date()
    return response
