"""/collections: podcasts in groups, and the default one, which holds every podcast that is followed."""

import re
from uuid import UUID, uuid4

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import CreateCollection, default_id
from eventstore.domain.identifiers import feed_key_of
from eventstore.domain.subscriptions import Unsubscribe
from projections import lists
from tests.feeds.rows import name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW, follow, page_of, show
from tests.web.listing import collection, send
from tests.web.people import Visitor, text_of
from tests.web.test_playlists import keys, titles, undo_of


def of(user: User) -> dict[str, tuple[str | None, int]]:
    bring_up_to_date()
    return {row.name: (row.color, row.feeds) for row in lists.COLLECTIONS.page(user.pk).rows}


def test_one_is_made_with_a_color_and_changed(alice: User) -> None:
    visitor, form = (
        Visitor(alice),
        {"id": str(uuid4()), "name": "News", "is_public": "no", "color": "#b3261e"},
    )
    path = send(visitor, "/collections/new", form)["Location"]
    assert of(alice) == {"News": ("#b3261e", 0)}
    assert 'fill="#b3261e"' in text_of(visitor.get("/collections"))
    assert send(visitor, f"{path}/edit", {**form, "color": "#123456"}).status_code == 400
    send(visitor, f"{path}/edit", {**form, "name": "World", "color": ""})
    assert of(alice) == {"World": (None, 0)}


def test_a_color_that_an_app_chose_stays(alice: User) -> None:
    visitor, list_id = Visitor(alice), uuid4()

    dispatch(
        CreateCollection(user_id=alice.pk, now=NOW, collection_id=list_id, name="News", color="#123456"),
        Origin(),
    )
    bring_up_to_date()
    path = f"/collections/{list_id}/edit"
    assert re.search(r'value="#123456"[^>]*checked', text_of(visitor.get(path)))
    send(visitor, path, {"name": "World", "is_public": "no", "color": "#123456"})
    assert of(alice) == {"World": ("#123456", 0)}


def test_podcasts_are_put_in_order_removed_and_brought_back(alice: User) -> None:
    feeds = [show(number, number) for number in range(1, 4)]
    follow(alice, *feeds)
    path, visitor = f"/collections/{collection(alice, *feeds)}", Visitor(alice)
    assert titles(visitor.get(path)) == ["Show 1", "Show 2", "Show 3"]
    assert "3 episodes not played" in text_of(visitor.get(path))
    first, second, _third = keys(visitor.get(path))
    send(visitor, f"{path}/arrange", {"down": first})
    assert titles(visitor.get(path)) == ["Show 2", "Show 1", "Show 3"]
    send(visitor, f"{path}/arrange", {"remove": second})
    page = visitor.get(path)
    assert titles(page) == ["Show 1", "Show 3"]
    dispatch(Unsubscribe(user_id=alice.pk, now=NOW, feed=name_of(feeds[1])), Origin())
    undo = undo_of(page)
    send(visitor, undo, {})
    assert "Something that was done later builds on it." in text_of(visitor.get("/collections"))
    follow(alice, feeds[1])
    send(visitor, undo, {})
    assert titles(visitor.get(path)) == ["Show 2", "Show 1", "Show 3"]


def test_a_deleted_one_comes_back_whole(alice: User) -> None:
    feeds = [show(number) for number in range(1, 4)]
    follow(alice, *feeds)
    path, visitor = f"/collections/{collection(alice, *feeds)}", Visitor(alice)
    send(visitor, f"{path}/edit", {"name": "News", "is_public": "yes", "color": "#2e7d32"})
    send(visitor, f"{path}/arrange", {"top": keys(visitor.get(path))[2]})
    send(visitor, f"{path}/delete", {})
    assert "News" not in of(alice)
    send(visitor, undo_of(visitor.get("/collections")), {})
    assert of(alice)["News"] == ("#2e7d32", 3)
    assert titles(visitor.get(path)) == ["Show 3", "Show 1", "Show 2"]
    assert lists.COLLECTIONS.find(alice.pk, UUID(path[-36:])).rows[0].is_public


def test_the_default_one_holds_what_is_followed_and_stays(alice: User) -> None:
    feeds = [show(number) for number in range(1, 4)]
    follow(alice, *feeds)
    path, visitor = f"/collections/{default_id(alice.pk)}", Visitor(alice)
    page = visitor.get(path)
    assert "All podcasts" in text_of(page)
    assert titles(page) == ["Show 1", "Show 2", "Show 3"]
    assert f'action="{path}/delete"' not in text_of(page)
    assert "Remove Show" not in text_of(page)
    send(visitor, f"{path}/arrange", {"up": keys(page)[2]})
    send(visitor, f"{path}/arrange", {"remove": keys(page)[0]})
    assert titles(visitor.get(path)) == ["Show 1", "Show 3", "Show 2"]
    send(visitor, f"{path}/delete", {})
    assert "and stays" in text_of(visitor.get(path))
    assert of(alice)["All Subscriptions"] == (None, 3)


def test_a_followed_podcast_is_put_into_some(alice: User, bob: User) -> None:
    feed = show(1)
    follow(alice, feed)
    news = collection(alice)
    visitor, path = Visitor(alice), f"{page_of(feed)}/collections"
    form = text_of(visitor.get(path))
    assert "All podcasts" not in form
    assert str(news) in form
    new = uuid4()
    send(visitor, path, {"in": str(news), "name": "Evening", "id": str(new)})
    holding = lists.COLLECTIONS.containing(alice.pk, feed_key_of(name_of(feed)))
    assert holding == {news, new, default_id(alice.pk)}
    assert Visitor(bob).get(path).status_code == 404
    assert send(Visitor(bob), path, {"in": str(news)}).status_code == 404
