"""/queue: adding episodes, ordering and clearing it, and what the player plays next."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from accounts.models import User
from eventstore import log
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import episode_key, feed_of_url, item_of
from eventstore.domain.playlists import AddToPlaylist, UpdatePlaylist, queue_id
from eventstore.domain.plays import RecordPlay
from feeds.models import Episode
from projections import lists
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import follow, hear, page_of_episode, show
from tests.web.listing import playlist, send
from tests.web.people import Response, Visitor, text_of
from web.addresses import in_path

HTMX = {"HX-Request": "true"}


def named(episode: Episode) -> str:
    return f"feed={in_path(name_of(episode.feed))}&item={in_path(item_name(episode))}"


def put(visitor: Visitor, episode: Episode, place: str = "last", **fields: Any) -> Response:
    return send(visitor, f"/queue/add?{named(episode)}&place={place}", fields)


def in_queue(user: User) -> list[str]:
    bring_up_to_date()
    rows = lists.PLAYLISTS.members(user.pk, queue_id(user.pk)).rows
    return [str(row.item_title) for row in rows]


def titles(response: Response) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', text_of(response))


def undo_of(response: Response) -> str:
    """Return the address of the undo button in the last message."""
    addresses = re.findall(
        r'<form method="post" action="([^"]+)">(?:(?!</form>).)*Undo', text_of(response), re.DOTALL
    )
    return str(addresses[-1]).replace("&amp;", "&")


def episodes_of(count: int) -> list[Episode]:
    return list(show(1, count).episodes.order_by("sort_at"))


def test_episodes_are_put_first_or_last_and_listed_in_their_order(alice: User) -> None:
    visitor, (one, two, three) = Visitor(alice), episodes_of(3)
    assert Visitor().get("/queue")["Location"].startswith("/users/log_in")
    assert "Nothing is waiting" in text_of(visitor.get("/queue"))
    put(visitor, one)
    send(visitor, undo_of(visitor.get("/queue")), {})
    assert in_queue(alice) == []
    assert put(visitor, one, back="/history")["Location"] == "/history"
    assert in_queue(alice) == [one.title]
    put(visitor, two)
    put(visitor, three, "first")
    page = visitor.get("/queue")
    assert titles(page) == [three.title, one.title, two.title]
    assert "Comes next." in text_of(page)
    send(visitor, undo_of(page), {})
    assert titles(visitor.get("/queue")) == [one.title, two.title]
    send(visitor, f"/queue/remove?{named(one)}", {})
    send(visitor, undo_of(visitor.get("/queue")), {})
    assert titles(visitor.get("/queue")) == [one.title, two.title]
    put(visitor, two, "first")
    head = log.head()
    put(visitor, two, "first")
    assert log.head() == head
    page = visitor.get("/queue")
    assert titles(page) == [two.title, one.title]
    assert "It is in Up next already." in text_of(page)
    assert visitor.get(f"/playlists/{queue_id(alice.pk)}")["Location"] == "/queue"
    # the queue has a part of its own, and no card among the playlists
    assert "Up next</bdi>" not in text_of(visitor.get("/playlists"))
    home = text_of(visitor.get("/"))
    assert 'href="/queue">Up next <svg' in home
    assert f'data-plays-from="{queue_id(alice.pk)}"' in home
    assert send(visitor, f"/playlists/{queue_id(alice.pk)}/delete", {})["Location"] == "/queue"
    assert in_queue(alice) == [two.title, one.title]


def test_it_is_ordered_by_what_orders_playlists_and_saved_as_one(alice: User) -> None:
    visitor, episodes = Visitor(alice), episodes_of(3)
    for episode in episodes:
        put(visitor, episode)
    first, *_, last = re.findall(r'data-key="([0-9a-f]{32})"', text_of(visitor.get("/queue")))
    path = f"/playlists/{queue_id(alice.pk)}/arrange"
    send(visitor, path, {"move": first, "behind": last})
    assert titles(visitor.get("/queue")) == ["Episode 1-1", "Episode 1-2", "Episode 1-0"]
    assert send(visitor, path, {"up": first})["Location"].startswith("/queue#m-")
    form = {"id": str(uuid4()), "name": "For the train", "is_public": "no"}
    for _twice in range(2):
        assert send(visitor, "/queue/save", form)["Location"] == f"/playlists/{form['id']}"
    assert titles(visitor.get(f"/playlists/{form['id']}")) == ["Episode 1-1", "Episode 1-0", "Episode 1-2"]
    assert len(lists.PLAYLISTS.page(alice.pk).rows) == 2
    assert 'value="Up next, ' in text_of(visitor.get("/queue/save", headers=HTMX))
    assert send(visitor, "/queue/save", {"name": " "}).status_code == 400


def test_it_is_cleared_and_comes_back_whole_with_what_was_put_in_since(alice: User) -> None:
    visitor, (one, two, three) = Visitor(alice), episodes_of(3)
    put(visitor, one)
    put(visitor, two, "first")
    send(visitor, "/queue/clear", {})
    undo = undo_of(visitor.get("/queue"))
    assert in_queue(alice) == []
    put(visitor, three)
    for _twice in range(2):
        send(visitor, undo, {})
        assert in_queue(alice) == [two.title, one.title, three.title]


def test_what_is_marked_as_played_leaves_it_and_comes_back_with_the_mark(alice: User) -> None:
    visitor, (one, two) = Visitor(alice), episodes_of(2)
    follow(alice, one.feed)
    put(visitor, one)
    put(visitor, two)
    assert titles(visitor.get("/")) == [one.title, two.title]  # and not among the new episodes as well
    send(visitor, page_of_episode(one).replace("?", "/played?"), {})
    assert in_queue(alice) == [two.title]
    send(visitor, undo_of(visitor.get("/")), {})
    assert in_queue(alice) == [one.title, two.title]
    send(visitor, f"/podcasts/{in_path(name_of(one.feed))}/older", {"which": "all"})
    page = visitor.get("/queue")
    assert "2 episodes are marked as played." in text_of(page)
    assert in_queue(alice) == []
    text = text_of(visitor.get("/history"))
    assert "Removed from “Up next”" in text
    assert "Playlist made: Up next" in text


def test_the_menu_of_an_episode_says_what_can_be_done_with_it(alice: User, bob: User) -> None:
    visitor, (episode,) = Visitor(alice), episodes_of(1)
    path = page_of_episode(episode).replace("?", "/menu?")
    menu = text_of(visitor.get(path, headers=HTMX))
    assert "<html" not in menu
    assert [word in menu for word in ("Play next", "Add to Up next", "Take out of")] == [True, True, False]
    put(visitor, episode)
    page = text_of(visitor.get(f"{path}&back=/history"))
    assert [word in page for word in ("<html", "Take out of Up next", 'value="/history"')] == [True] * 3
    assert 'value="https://evil.example"' not in text_of(visitor.get(f"{path}&back=https://evil.example"))
    unknown = path.replace(in_path(name_of(episode.feed)), in_path("aHR0cHM6Ly9ub3doZXJlLmV4YW1wbGUv"))
    assert visitor.get(unknown).status_code == 404
    for wrong in (f"/queue/add?{named(episode)}&place=middle", f"/queue/add?{named(episode)}"):
        assert send(visitor, wrong, {}).status_code == 400
    assert send(visitor, "/queue/add?feed=x&item=y&place=last", {}).status_code == 404
    # nobody else learns anything of a feed that is kept secret
    type(episode.feed).objects.update(is_secret=True)
    assert send(Visitor(bob), f"/queue/add?{named(episode)}&place=last", {}).status_code == 404


def following(visitor: Visitor, episode: Episode, **asked: Any) -> str:
    path = page_of_episode(episode).replace("/episodes/", "/player/").replace("?", "/following?")
    more = "".join(f"&{name}={value}" for name, value in asked.items())
    found = re.search(r'data-title="([^"]*)"', text_of(visitor.get(path + more)))
    return found[1] if found else ""


def key(episode: Episode) -> str:
    return episode_key(name_of(episode.feed), item_name(episode))


def test_the_player_goes_on_with_the_playlist_then_up_next_then_the_podcast(alice: User) -> None:
    visitor, (one, two, three, four, five) = Visitor(alice), episodes_of(5)
    assert following(visitor, one) == two.title
    put(visitor, four)
    put(visitor, three)
    walk = playlist(alice, one, five)
    queue = queue_id(alice.pk)
    assert following(visitor, one) == four.title
    assert following(visitor, one, after="podcast") == two.title
    assert following(visitor, one, **{"from": walk}) == five.title
    assert following(visitor, five, **{"from": walk}) == four.title
    # what was announced, or chosen with "Play next", comes first, wherever it is
    assert following(visitor, one, **{"from": walk, "next": key(three)}) == three.title
    assert following(visitor, one, next="gone") == four.title
    assert following(visitor, one, skip=key(four)) == three.title
    # in the queue: the entries after this one, and at its end those that were skipped
    assert following(visitor, four, **{"from": queue}) == three.title
    assert following(visitor, three, **{"from": queue}) == four.title
    assert following(visitor, three, **{"from": queue, "after": "podcast"}) == four.title
    send(visitor, "/queue/clear", {})
    assert following(visitor, four, **{"from": queue}) == ""
    assert following(visitor, five, **{"from": walk}) == ""
    hear(alice, five, 60, played=True)
    bring_up_to_date()
    assert following(visitor, one, **{"from": walk}) == ""


def test_what_a_phone_finishes_is_gone_from_the_page_and_a_public_queue_shows_to_others(alice: User) -> None:
    visitor, (one, two) = Visitor(alice), episodes_of(2)
    put(visitor, one)
    put(visitor, two)
    order = RecordPlay(
        user_id=alice.pk,
        feed=name_of(one.feed),
        item=item_name(one),
        position=60,
        played=True,
        now=timezone.now() + timedelta(seconds=1),
    )
    dispatch(order, Origin(device_name="Phone"))
    bring_up_to_date()
    assert titles(visitor.get("/queue")) == [two.title]
    public = f"/u/{alice.username}/playlists/{queue_id(alice.pk)}"
    assert Visitor().get(public).status_code == 404
    show_it = UpdatePlaylist(
        user_id=alice.pk, playlist_id=queue_id(alice.pk), is_public=True, now=timezone.now()
    )
    dispatch(show_it, Origin())
    bring_up_to_date()
    assert two.title in text_of(Visitor().get(public))
    assert public in text_of(visitor.get("/queue"))


def test_what_an_app_put_there_of_a_podcast_that_nobody_knows_is_played_by_its_own_address(
    alice: User, bob: User
) -> None:
    (one,) = episodes_of(1)
    visitor, unknown = Visitor(alice), feed_of_url("https://nobody.example/feed")
    item = item_of("one", "https://nobody.example/1.mp3")
    order = AddToPlaylist(
        user_id=alice.pk, playlist_id=queue_id(alice.pk), feed=unknown, item=item, now=timezone.now()
    )
    dispatch(order, Origin())
    bring_up_to_date()
    assert "1.mp3" in text_of(visitor.get("/queue"))
    assert following(visitor, one) == "1.mp3"
    path = f"/player/{in_path(item)}?feed={in_path(unknown)}"
    assert 'data-audio="https://nobody.example/1.mp3"' in text_of(visitor.get(path))
    page = path.replace("/player/", "/episodes/")
    for part in ("", "/menu", "/playlists", "/privacy"):
        address = page.replace("?", f"{part}?")
        assert (address, visitor.get(address).status_code) == (address, 200)
        assert (address, Visitor(bob).get(address).status_code) == (address, 404)
    first = f"/queue/add?feed={in_path(unknown)}&item={in_path(item)}&place=first"
    assert send(visitor, first, {}).status_code == 302
    assert send(Visitor(bob), first, {}).status_code == 404
    assert Visitor(bob).get(path).status_code == 404


def test_three_hundred_are_shown_in_pages(alice: User) -> None:
    episodes = episodes_of(300)
    playlist(alice, *episodes, made=queue_id(alice.pk))
    page = text_of(Visitor(alice).get("/queue"))
    assert "300 episodes" in page
    assert len(re.findall('data-key="', page)) == 60
    assert re.search(r'href="(/queue\?after=[^"]+)" rel="next"', page)
