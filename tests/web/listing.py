"""Playlists and collections of listeners, as pages show them."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import AddFeedToCollection, CreateCollection
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist
from feeds.models import Episode, Feed
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW
from tests.web.people import Response, Visitor


def playlist(user: User, *episodes: Episode, name: str = "Morning", is_public: bool = False) -> UUID:
    """A playlist of these episodes; ends with read models that know it."""
    made = uuid4()
    dispatch(
        CreatePlaylist(user_id=user.pk, now=NOW, playlist_id=made, name=name, is_public=is_public), Origin()
    )
    for number, episode in enumerate(episodes):
        at = NOW + timedelta(seconds=number)
        feed, item = name_of(episode.feed), item_name(episode)
        dispatch(AddToPlaylist(user_id=user.pk, now=at, playlist_id=made, feed=feed, item=item), Origin())
    bring_up_to_date()
    return made


def collection(user: User, *feeds: Feed, name: str = "News", is_public: bool = False) -> UUID:
    """A collection of these feeds, which the user follows; ends with read models that know it."""
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
    """Send a form; ends with read models that know what came of it."""
    response = visitor.send(path, fields, **headers)
    bring_up_to_date()
    return response
