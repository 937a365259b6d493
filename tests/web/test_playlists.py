"""/playlists: creating, ordering, sharing and deleting playlists, and adding episodes."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import User
from eventstore import log
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import episode_key
from eventstore.domain.playlists import AddToPlaylist, DeletePlaylist, RemoveFromPlaylist
from feeds.models import Episode
from projections import lists
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW, hear, page_of_episode, show
from tests.web.listing import playlist, send
from tests.web.people import Response, Visitor, text_of
from web import list_context, list_pages

HTMX = {"HX-Request": "true"}


def titles(response: Response) -> list[str]:
    return re.findall(r'<p class="name">(?:<a [^>]*>)?<bdi>([^<]*)</bdi>', text_of(response))


def keys(response: Response) -> list[str]:
    return re.findall(r'data-key="([0-9a-f]{32})"', text_of(response))


def undo_of(response: Response) -> str:
    found = re.search(
        r'<form method="post" action="([^"]+)">(?:(?!</form>).)*Undo', text_of(response), re.DOTALL
    )
    assert found
    return found[1].replace("&amp;", "&")


def episodes_of(count: int) -> list[Episode]:
    return list(show(1, count).episodes.order_by("sort_at"))


def of(user: User) -> list[tuple[str, str | None, bool]]:
    bring_up_to_date()
    return [(row.name, row.description, row.is_public) for row in lists.PLAYLISTS.page(user.pk).rows]


def test_one_is_made_changed_deleted_and_brought_back_whole(alice: User) -> None:
    visitor, form = Visitor(alice), {"id": str(uuid4()), "name": "  Walk ", "is_public": "no"}
    made = send(visitor, "/playlists/new", form)
    assert made["Location"] == f"/playlists/{form['id']}"
    assert send(visitor, "/playlists/new", form)["Location"] == made["Location"]
    assert of(alice) == [("Walk", None, False)]
    path = made["Location"]
    changed = {"name": "Journey", "description": "Long ones", "is_public": "yes"}
    assert send(visitor, f"{path}/edit", changed)["Location"] == path
    assert of(alice) == [("Journey", "Long ones", True)]
    for episode in episodes_of(3):
        order = AddToPlaylist(
            user_id=alice.pk,
            now=NOW,
            playlist_id=UUID(form["id"]),
            feed=name_of(episode.feed),
            item=item_name(episode),
        )
        dispatch(order, Origin())
    bring_up_to_date()
    first, *rest = keys(visitor.get(path))
    send(visitor, f"{path}/arrange", {"move": first, "behind": rest[-1]})
    before = titles(visitor.get(path))
    for _twice in range(2):
        assert send(visitor, f"{path}/delete", {})["Location"] == "/playlists"
    assert of(alice) == []
    assert visitor.get(path).status_code == 404
    undo = undo_of(visitor.get("/playlists"))
    assert send(visitor, undo, {"back": path})["Location"] == path
    assert of(alice) == [("Journey", "Long ones", True)]
    assert titles(visitor.get(path)) == before
    head = log.head()
    send(visitor, undo, {})
    assert log.head() == head


@pytest.mark.parametrize(
    ("field", "value"), [("name", " "), ("name", "x" * 201), ("description", "x" * 4_001)]
)
def test_a_fault_stands_beside_its_field_and_what_was_typed_stays(
    alice: User, field: str, value: str
) -> None:
    form = {"name": "Walk", "description": "In <b>the</b> park", "is_public": "yes", field: value}
    page = send(Visitor(alice), "/playlists/new", form)
    assert page.status_code == 400
    assert "errorlist" in text_of(page)
    if field != "description":
        assert "In &lt;b&gt;the&lt;/b&gt; park" in text_of(page)
    assert of(alice) == []


def test_the_episodes_are_put_in_order(alice: User) -> None:
    made = playlist(alice, *episodes_of(4))
    visitor, path = Visitor(alice), f"/playlists/{made}"

    def order(**fields: str) -> list[str]:
        assert send(visitor, f"{path}/arrange", fields).status_code == 302
        return [title[-1] for title in titles(visitor.get(path))]

    key = dict(zip("0123", keys(visitor.get(path)), strict=True))
    assert order(down=key["0"]) == list("1023")
    assert order(up=key["3"]) == list("1032")
    assert order(top=key["2"]) == list("2103")
    assert order(up=key["2"]) == list("2103")
    assert order(down=key["3"]) == list("2103")
    assert order(move=key["2"], behind=key["0"]) == list("1023")
    assert order(move=key["3"], ahead=key["1"]) == list("3102")
    assert order(move=key["3"], behind="gone") == list("3102")
    assert order(up="gone") == list("3102")


def test_what_the_page_did_not_know_of_is_not_lost(alice: User) -> None:
    episodes = episodes_of(4)
    made = playlist(alice, *episodes[:3])
    visitor, path = Visitor(alice), f"/playlists/{made}"
    first, *_ = keys(visitor.get(path))
    named: list[dict[str, Any]] = [{"feed": name_of(each.feed), "item": item_name(each)} for each in episodes]
    who: dict[str, Any] = {"user_id": alice.pk, "now": NOW + timedelta(hours=1), "playlist_id": made}
    dispatch(AddToPlaylist(**who, **named[3]), Origin(device_name="Phone"))
    dispatch(RemoveFromPlaylist(**who, **named[1]), Origin(device_name="Phone"))
    bring_up_to_date()
    send(visitor, f"{path}/arrange", {"down": first})
    assert titles(visitor.get(path)) == ["Episode 1-2", "Episode 1-0", "Episode 1-3"]


def test_what_is_removed_comes_back_to_its_place(alice: User) -> None:
    made = playlist(alice, *episodes_of(3))
    visitor, path = Visitor(alice), f"/playlists/{made}"
    before = titles(visitor.get(path))
    for place in range(3):
        send(visitor, f"{path}/arrange", {"remove": keys(visitor.get(path))[place]})
        page = visitor.get(path)
        assert titles(page) == [*before[:place], *before[place + 1 :]]
        send(visitor, undo_of(page), {})
        assert titles(visitor.get(path)) == before


def test_htmx_gets_the_list_as_it_is_now(alice: User) -> None:
    made = playlist(alice, *episodes_of(2))
    visitor, path = Visitor(alice), f"/playlists/{made}"
    first, *_ = keys(visitor.get(path))
    page = send(visitor, f"{path}/arrange", {"remove": first, "after": ""}, headers=HTMX)
    assert "<html" not in text_of(page)
    assert 'id="toasts"' in text_of(page)
    assert 'id="summary"' in text_of(page)


def test_its_time_is_told_and_where_to_go_on(alice: User) -> None:
    episodes = episodes_of(3)
    Episode.objects.update(duration=3_600)
    made = playlist(alice, *episodes)
    hear(alice, episodes[0], 0, played=True)
    hear(alice, episodes[1], 1_800)
    bring_up_to_date()
    page = text_of(Visitor(alice).get(f"/playlists/{made}"))
    assert "3 episodes" in page
    assert "3 h 00 min" in page
    assert "1 h 30 min left" in page
    assert "Go on" in page
    assert f'data-plays-from="{made}"' in page


def test_an_episode_is_put_into_some_and_a_new_one(alice: User) -> None:
    (episode,) = episodes_of(1)
    walk, _ = playlist(alice, name="Walk"), playlist(alice, name="Work")
    visitor, path = Visitor(alice), page_of_episode(episode).replace("?", "/playlists?")
    dialog = visitor.get(path, headers=HTMX)
    assert "<html" not in text_of(dialog)
    assert "<html" in text_of(visitor.get(path))
    new = uuid4()
    fields = {"in": str(walk), "name": "Evening", "id": str(new)}
    for _again in range(2):
        assert send(visitor, path, fields)["Location"] == page_of_episode(episode)
        counts = {row.name: row.items for row in lists.PLAYLISTS.page(alice.pk).rows}
        assert counts == {"Walk": 1, "Work": 0, "Evening": 1}
    key = episode_key(name_of(episode.feed), item_name(episode))
    assert lists.PLAYLISTS.containing(alice.pk, key) == {walk, new}
    (row,) = lists.PLAYLISTS.members(alice.pk, new).rows
    assert (row.item_title, row.feed_title) == ("Episode 1-0", "Show 1")


def test_only_what_was_changed_in_the_form_changes(alice: User) -> None:
    (episode,) = episodes_of(1)
    walk, work = playlist(alice, episode, name="Walk"), playlist(alice, episode, name="Work")
    path = page_of_episode(episode).replace("?", "/playlists?")
    # another device added the episode to "Work" after the form was shown
    visitor = Visitor(alice)
    send(visitor, path, {"was": [str(walk)]})
    key = episode_key(name_of(episode.feed), item_name(episode))
    bring_up_to_date()
    assert lists.PLAYLISTS.containing(alice.pk, key) == {work}
    send(visitor, undo_of(visitor.get("/playlists")), {})
    assert lists.PLAYLISTS.containing(alice.pk, key) == {walk, work}


def test_a_long_name_of_a_new_one_is_refused_and_kept(alice: User) -> None:
    path = page_of_episode(episodes_of(1)[0]).replace("?", "/playlists?")
    page = send(Visitor(alice), path, {"name": "y" * 201, "id": str(uuid4())})
    assert page.status_code == 400
    assert "errorlist" in text_of(page)
    assert "y" * 201 in text_of(page)
    assert of(alice) == []


def test_nobody_reaches_anothers(alice: User, bob: User) -> None:
    (episode,) = episodes_of(1)
    made = playlist(alice, episode)
    visitor, unknown = Visitor(bob), uuid4()
    key = keys(Visitor(alice).get(f"/playlists/{made}"))[0]
    for list_id in (made, unknown):
        path = f"/playlists/{list_id}"
        assert visitor.get(path).status_code == 404
        assert visitor.get(f"{path}/edit").status_code == 404
        for action in ("edit", "delete", "arrange"):
            sent = send(visitor, f"{path}/{action}", {"name": "x", "is_public": "yes", "remove": key})
            assert sent.status_code == 404, action
    assert of(alice) == [("Morning", None, False)]
    assert Visitor().get(f"/playlists/{made}").status_code == 302


def test_one_that_another_device_has_just_deleted_is_not_there(alice: User) -> None:
    made = playlist(alice, *episodes_of(2))
    visitor, path = Visitor(alice), f"/playlists/{made}"
    first, last = keys(visitor.get(path))
    # no projector runs after this
    dispatch(DeletePlaylist(user_id=alice.pk, now=NOW, playlist_id=made), Origin())
    assert visitor.send(f"{path}/edit", {"name": "x", "is_public": "no"}).status_code == 404
    for move, key in (("up", last), ("down", first), ("remove", last)):
        assert visitor.send(f"{path}/arrange", {move: key}).status_code == 404, move
    assert visitor.send(f"{path}/delete", {})["Location"] == "/playlists"


def test_bad_input_is_refused(alice: User) -> None:
    made = playlist(alice, *episodes_of(1))
    visitor, path = Visitor(alice), f"/playlists/{made}"
    assert visitor.get(path, {"after": "x"}).status_code == 400
    assert send(visitor, f"{path}/arrange", {}).status_code == 400
    assert visitor.get(f"{path}/arrange").status_code == 405
    assert visitor.post(f"{path}/delete").status_code == 403
    assert visitor.get("/playlists", {"after": "x"}).status_code == 200


def test_long_ones_come_in_pages_that_miss_none(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_context, "MEMBERS", 2)
    monkeypatch.setattr(list_pages, "PAGE", 2)
    episodes = episodes_of(5)
    made = playlist(alice, *episodes, name="0")
    for number in range(1, 5):
        playlist(alice, name=str(number))

    def walked(address: str) -> list[str]:
        visitor, seen = Visitor(alice), []
        while address:
            page = visitor.get(address)
            seen += titles(page)
            following = re.search(r'href="([^"]*after=[^"]+)" rel="next"', text_of(page))
            address = following[1].replace("&amp;", "&") if following else ""
        return seen

    assert walked("/playlists") == list("01234")
    assert walked(f"/playlists/{made}") == [f"Episode 1-{number}" for number in range(5)]
