"""No page sends more statements to its stores the more a listener has, and none sends more than twelve."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.urls import URLPattern, get_resolver

from accounts.app_models import AppPassword
from accounts.models import PlayToken, User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import AddFeedToCollection, CreateCollection
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist
from eventstore.prepared import Prepared
from feeds.models import Episode, Feed
from tests.factories import PlayTokenFactory
from tests.feeds.rows import item_name, name_of
from tests.web.library import NOW, follow, hear, show
from tests.web.people import Visitor
from web import labels, trending
from web.addresses import in_path

MOST = 12
PLAYLIST, COLLECTION = UUID(int=1), UUID(int=2)
# paths that are no pages of a listener, or that fetch from other servers before they answer
OTHER = re.compile(r"^/(health|about|covers|websub|styleguide|setup|admin|api|authorize|dashboard)")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Collect the statements that are sent in this block, whichever way they are sent."""
    sent: list[Any] = []
    execute, rows = psycopg.Cursor.execute, Prepared.rows

    def counting(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(query)
        return execute(cursor, query, *args, **options)

    def counting_rows(prepared: Any, *args: Any) -> Any:
        sent.append(prepared)
        return rows(prepared, *args)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counting)
        patch.setattr(Prepared, "rows", counting_rows)
        yield sent


def pages(user: User, episode: Episode) -> list[str]:
    """Return the path of every page in the URL conf, with its parameters filled in."""
    included = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == ""]
    patterns = [pattern for entry in included for pattern in entry.url_patterns]  # type: ignore[union-attr]
    feed, item = in_path(name_of(episode.feed)), in_path(item_name(episode))
    filled = {
        "<feed:feed>": feed,
        "<item:item>": item,
        "<int:token_id>": str(PlayToken.objects.filter(user=user)[0].pk),
        "<str:username>": user.username,
        "<username>": user.username,
        "<slug:slug>": "slug",
    }
    found = []
    for pattern in patterns:
        path = f"/{pattern.pattern}" if isinstance(pattern, URLPattern) else "/^"
        for name, value in filled.items():
            path = path.replace(name, value)
        path = re.sub(r"<uuid:\w+>", str(COLLECTION if "/collections/" in path else PLAYLIST), path)
        if not set("<^") & set(path) and not OTHER.match(path):
            found.append(f"{path}?feed={feed}&item={item}&q=Show" if item in path else path)
    return found


def counts(monkeypatch: pytest.MonkeyPatch, user: User, paths: list[str]) -> dict[str, int]:
    """Return how many statements each of these paths takes, for those that answer with 200."""
    found = {}
    for path in paths:
        visitor = Visitor(user)
        with counted(monkeypatch) as sent:
            response = visitor.get(path)
        if response.status_code == 200:
            found[path] = len(sent)
    return found


def have(user: User, numbers: range) -> list[Feed]:
    """Create podcasts that are followed, heard, in a playlist and in a collection."""
    feeds = [show(number, 2) for number in numbers]
    follow(user, *feeds)
    for feed in feeds:
        name, (first, second) = name_of(feed), feed.episodes.all()
        hear(user, first, 60)
        hear(user, second, 600, played=True)
        of_list: dict[str, Any] = {"user_id": user.pk, "now": NOW, "feed": name}
        dispatch(AddFeedToCollection(collection_id=COLLECTION, **of_list), Origin())
        dispatch(AddToPlaylist(playlist_id=PLAYLIST, item=item_name(first), **of_list), Origin())
    follow(user)
    return feeds


def test_no_page_asks_more_than_twelve_times_however_much_there_is(
    alice: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch(CreatePlaylist(user_id=alice.pk, playlist_id=PLAYLIST, name="Running", now=NOW), Origin())
    dispatch(CreateCollection(user_id=alice.pk, collection_id=COLLECTION, name="News", now=NOW), Origin())
    PlayTokenFactory.create(user=alice)
    # public lists are kept for half a minute, so that their statements would depend on how long this takes
    for module in (labels, trending):
        monkeypatch.setattr(module, "kept", lambda key, seconds, make: make())
    feeds = have(alice, range(1, 4))
    paths = pages(alice, feeds[0].episodes.all()[0])
    # statements that run once per process run here
    counts(monkeypatch, alice, paths)
    few = counts(monkeypatch, alice, paths)
    have(alice, range(4, 24))
    PlayTokenFactory.create_batch(5, user=alice)
    for number in range(5):
        AppPassword.objects.issue(alice.pk, f"App {number}", NOW)
    many = counts(monkeypatch, alice, paths)
    assert {"/", "/subscriptions", "/history", "/apps"} <= few.keys()
    assert {path: count for path, count in many.items() if count > MOST} == {}
    assert {path: (few[path], many[path]) for path in few if many[path] > few[path]} == {}
