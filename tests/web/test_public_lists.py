"""/u/{username}/playlists/{id} and /u/{username}/collections/{id}: what everybody sees of a public list."""

import re
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest

from accounts.models import PlayToken, User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import UpdateCollection, default_id
from eventstore.domain.playlists import DeletePlaylist, UpdatePlaylist
from eventstore.domain.privacy import ChangePrivacy, Level
from feeds.models import Episode
from tests.feeds.rows import item_name, name_of
from tests.web.library import NOW, follow, hear, show
from tests.web.listing import collection, playlist, playlists_of
from tests.web.people import Visitor, text_of
from tests.web.test_playlists import keys, titles
from web import public_lists


def test_everybody_sees_what_is_in_it_but_not_what_was_heard(alice: User, bob: User) -> None:
    episodes = list(show(1, 2).episodes.order_by("sort_at"))
    hear(alice, episodes[0], 754)
    made = playlist(alice, *episodes, name="Walk", is_public=True)
    path = f"/u/Alice/playlists/{made}"
    for visitor in (Visitor(), Visitor(bob), Visitor(alice)):
        page = visitor.get(path)
        assert titles(page) == ["Episode 1-0", "Episode 1-1"]
        assert "12:34" not in text_of(page)
        assert "no-cache" in page["Cache-Control"]
    assert "https://audio.example/1/0.mp3" in text_of(Visitor().get(path))
    assert "/episodes/" in text_of(Visitor(bob).get(path))
    assert titles(Visitor().get(path.replace("Alice", "aLICE"))) == titles(page)


def test_what_is_not_public_is_as_what_never_was(alice: User, bob: User) -> None:
    made, gone = playlist(alice), playlist(alice, is_public=True)
    dispatch(DeletePlaylist(user_id=alice.pk, now=NOW, playlist_id=gone), Origin())
    paths = [
        f"/u/Alice/playlists/{made}",
        f"/u/Alice/playlists/{gone}",
        f"/u/Alice/playlists/{uuid4()}",
        f"/u/Alice/collections/{made}",
        f"/u/Bob/playlists/{made}",
        f"/u/nobody/playlists/{made}",
    ]
    answers = [Visitor().get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_what_is_hidden_is_gone_in_the_next_request(alice: User) -> None:
    made = playlist(alice, is_public=True)
    path = f"/u/Alice/playlists/{made}"
    assert Visitor().get(path).status_code == 200
    # no projector runs after this
    dispatch(UpdatePlaylist(user_id=alice.pk, now=NOW, playlist_id=made, is_public=False), Origin())
    assert Visitor().get(path).status_code == 404
    dispatch(UpdatePlaylist(user_id=alice.pk, now=NOW, playlist_id=made, is_public=True), Origin())
    assert Visitor().get(path).status_code == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert Visitor().get(path).status_code == 404


def test_private_things_are_left_out(alice: User) -> None:
    feeds = [show(1, 2), show(2, 1), show(3, 1, is_secret=True), show(4, 1, blocked=True)]
    follow(alice, *feeds)
    episodes = list(Episode.objects.order_by("feed__id", "sort_at"))
    Episode.objects.filter(guid="1-0").update(title="Open")
    path = f"/u/Alice/playlists/{playlist(alice, *episodes, is_public=True)}"
    group = f"/u/Alice/collections/{collection(alice, *feeds, is_public=True)}"
    assert titles(Visitor().get(path)) == ["Open", "Episode 1-1", "Episode 2-0"]
    assert titles(Visitor().get(group)) == ["Show 1", "Show 2"]
    settings: list[tuple[str, str | None, str | None]] = [
        ("anonymous", name_of(feeds[0]), item_name(episodes[1])),
        ("private", name_of(feeds[1]), None),
        ("private", None, None),
    ]
    for level, feed, item in settings:
        order = ChangePrivacy(user_id=alice.pk, now=NOW, level=cast(Level, level), feed=feed, item=item)
        dispatch(order, Origin())
    assert titles(Visitor().get(path)) == ["Open"]
    assert titles(Visitor().get(group)) == ["Show 1"]


def test_the_default_collection_is_shown_where_its_listener_says_so(alice: User) -> None:
    follow(alice, *(show(number) for number in range(1, 4)))
    path = f"/u/Alice/collections/{default_id(alice.pk)}"
    assert Visitor().get(path).status_code == 404
    order = UpdateCollection(user_id=alice.pk, now=NOW, collection_id=default_id(alice.pk), is_public=True)
    dispatch(order, Origin())
    page = Visitor().get(path)
    assert titles(page) == ["Show 1", "Show 2", "Show 3"]
    assert "All podcasts" in text_of(page)


def test_a_list_has_an_address_for_a_player_alone(alice: User, bob: User) -> None:
    follow(alice, show(1, 1))
    made, group = playlist(alice, *Episode.objects.all(), name="Walk"), collection(alice, name="News")
    visitor = Visitor(alice)
    assert f"/apps/tokens/new?list={made}" in text_of(visitor.get(f"/playlists/{made}"))
    for list_id, path, name in ((made, f"playlists/{made}", "Walk"), (group, f"collections/{group}", "News")):
        address = f"/apps/tokens/new?list={list_id}"
        assert name in text_of(visitor.get(address))
        form = visitor.send(address, {"name": "Car"})
        (feed,) = re.findall(rf'value="([^"]*/rss/[^"]*{path}\.xml)"', text_of(form))
        assert PlayToken.objects.latest("pk").lists == [str(list_id)]
        answer = Visitor().get(feed[feed.index("/rss/") :])
        assert answer.status_code == 200
        assert f"<title>{name}</title>" in text_of(answer)
    for unknown in (made, uuid4(), "x", ""):
        assert Visitor(bob).get(f"/apps/tokens/new?list={unknown}").status_code == 404


def test_a_long_one_comes_in_pages(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_lists, "PAGE", 2)
    path = f"/u/Alice/playlists/{playlist(alice, *show(1, 3).episodes.order_by('sort_at'), is_public=True)}"
    page = text_of(Visitor().get(path))
    following = page.split("?after=")[1].split('"')[0]
    assert titles(Visitor().get(f"{path}?after={following}")) == ["Episode 1-2"]


def test_five_hundred_cost_no_more_queries_than_three(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(alice, show(9))
    episodes = list(show(1, 500).episodes.order_by("sort_at"))
    few, many = playlist(alice, *episodes[:3], is_public=True), playlist(alice, *episodes, is_public=True)
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def counting(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return execute(cursor, query, *args, **options)

    visitor = Visitor(alice)

    def count(path: str) -> int:
        asked.clear()
        assert visitor.get(path).status_code == 200
        return len(asked)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    figures = {path: count(path) for path in (f"/playlists/{few}", f"/u/Alice/playlists/{few}", "/playlists")}
    assert max(figures.values()) <= 12, figures
    # a next page and a long entry are read by one more statement
    assert count(f"/playlists/{many}") <= figures[f"/playlists/{few}"] + 1
    assert count(f"/u/Alice/playlists/{many}") <= 1 + figures[f"/u/Alice/playlists/{few}"]
    assert len(visitor.get(f"/playlists/{many}").content) < 400_000
    playlists_of(alice, {f"List {number}": episodes[:number:9] for number in range(60)})
    assert count("/playlists") == figures["/playlists"]
    assert keys(visitor.get(f"/playlists/{few}"))
