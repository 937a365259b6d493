"""Playlists and collections in the read tables: as the domain folds them, whatever the batches."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import log
from eventstore.dispatcher import DomainError, dispatch
from eventstore.domain.checkpoint import TakeCheckpoint, take
from eventstore.domain.collections import (
    AddFeedToCollection,
    CollectionCreated,
    CollectionReordered,
    CreateCollection,
    DeleteCollection,
    ReorderCollection,
    default_id,
)
from eventstore.domain.identifiers import episode_key, item_of, parts_of_item
from eventstore.domain.messages import Command, Event, Origin
from eventstore.domain.naming import EpisodeName
from eventstore.domain.playlists import (
    AddToPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    PlaylistCreated,
    PlaylistDeleted,
    PlaylistItemAdded,
    PlaylistItemRemoved,
    PlaylistReordered,
    RemoveFromPlaylist,
    ReorderPlaylist,
    UpdatePlaylist,
)
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.user import User, evolve
from projections import lists, rebuild
from projections.batches import Batch
from projections.connect import Connection, connect
from projections.projectors import PROJECTORS
from projections.queries import InvalidCursor
from projections.worker import Worker, apply_together
from tests.conftest import STORES, clear_caches, empty
from tests.projections.conftest import Project
from tests.projections.histories import (
    ALICE,
    BOB,
    FEED,
    NOON,
    dump,
    minutes,
    record,
    subscribed,
    unsubscribed,
)
from tests.projections.test_merging import project as project_batches
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")

LISTS = [UUID(int=1), UUID(int=2)]
WALK, RUN = LISTS
times = st.integers(0, 5).map(minutes)
names = st.sampled_from(["a", "B", "é"])


def folded(batches: Sequence[Sequence[Event]]) -> list[User]:
    users = [User(ALICE), User(BOB)]
    for event in (event for batch in batches for event in batch):
        evolve(users[event.user_id == BOB], event)
    return users


def playlist(user: UUID, list_id: UUID, name: str = "Walk", at: int = 0) -> PlaylistCreated:
    return PlaylistCreated(user_id=user, playlist_id=list_id, name=name, updated_at=minutes(at))


def collection(user: UUID, list_id: UUID, name: str = "Gym", at: int = 0) -> CollectionCreated:
    return CollectionCreated(user_id=user, collection_id=list_id, name=name, updated_at=minutes(at))


feeds, items = st.sampled_from(["Zg==", "Zw==", "w6k="]), st.sampled_from(["MSw=", "Miw=", "Myw="])


def orders(members: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(members, max_size=3, unique=True).map(tuple)


users = st.sampled_from([ALICE, BOB])
lists_of = {"user_id": users, "now": times}
at = {"at": st.none() | times}
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreatePlaylist, **lists_of, playlist_id=st.just(WALK), name=names),
    st.builds(
        UpdatePlaylist,
        **lists_of,
        playlist_id=st.just(WALK),
        name=st.none() | names,
        is_public=st.none() | st.booleans(),
    ),
    st.builds(DeletePlaylist, **lists_of, playlist_id=st.just(WALK)),
    st.builds(AddToPlaylist, **lists_of, **at, playlist_id=st.just(WALK), feed=feeds, item=items),
    st.builds(RemoveFromPlaylist, **lists_of, **at, playlist_id=st.just(WALK), item=items),
    st.builds(
        ReorderPlaylist,
        **lists_of,
        playlist_id=st.just(WALK),
        items=orders(items).map(lambda drawn: tuple(EpisodeName(None, item) for item in drawn)),
    ),
    st.builds(CreateCollection, **lists_of, collection_id=st.just(RUN), name=names),
    st.builds(DeleteCollection, **lists_of, collection_id=st.just(RUN)),
    st.builds(AddFeedToCollection, **lists_of, **at, collection_id=st.just(RUN), feed=feeds),
    st.builds(ReorderCollection, **lists_of, collection_id=st.just(RUN), feeds=orders(feeds)),
    st.builds(Subscribe, **lists_of, **at, feed=feeds),
    st.builds(Unsubscribe, **lists_of, **at, feed=feeds),
    st.builds(TakeCheckpoint, **lists_of, before=times),
)


@examples(10, shrink=True)
@given(st.lists(st.tuples(commands, st.booleans()), max_size=20))
def test_a_rebuild_equals_live(connection: Connection, history: list[tuple[Command, bool]]) -> None:
    """The live part works as the runner does: both projectors together in one transaction."""
    for alias in STORES:
        empty(alias)
    clear_caches()
    both = [PROJECTORS["playlists"], PROJECTORS["collections"]]
    with connect("projections") as own:
        workers = [Worker(projector, own) for projector in both]
        for command, project_now in [*history, (None, True)]:
            if command is not None:
                with suppress(DomainError):
                    dispatch(command, Origin())
            if project_now and (events := log.read_all(workers[0].position, 1_000)):
                apply_together(own, workers, Batch(events, events[-1].position))
    live = dump(connection)
    rebuild.rebuild(both)
    assert dump(connection) == live


def added(guid: str = "1", at: int = 1, user: UUID = ALICE, list_id: UUID = WALK) -> PlaylistItemAdded:
    return PlaylistItemAdded(
        user_id=user,
        playlist_id=list_id,
        rss_source_feed=FEED,
        rss_source_item=item_of(guid, ""),
        added_at=minutes(at),
    )


def removed(guid: str) -> PlaylistItemRemoved:
    return PlaylistItemRemoved(
        user_id=ALICE,
        playlist_id=WALK,
        rss_source_feed=FEED,
        rss_source_item=item_of(guid, ""),
        removed_at=minutes(5),
    )


def reordered(*guids: str, at: int = 9) -> PlaylistReordered:
    order = tuple(episode_key(FEED, item_of(guid, "")) for guid in guids)
    return PlaylistReordered(user_id=ALICE, playlist_id=WALK, order=order, updated_at=minutes(at))


def items_of(page: Any) -> list[str]:
    return [parts_of_item(row.rss_source_item)[0] for row in page.rows]


def test_it_shows_what_alice_has_and_nothing_of_bob(project: Project) -> None:
    head = record(playlist(ALICE, WALK), added(), playlist(BOB, RUN, "Run"), collection(BOB, RUN, "Bob's"))
    project()
    assert lists.PLAYLISTS.page(ALICE).rows == [lists.PlaylistRow(WALK, "Walk", None, False, "list", NOON, 1)]
    assert lists.PLAYLISTS.find(BOB, WALK).rows == []
    assert lists.PLAYLISTS.members(BOB, WALK).rows == []
    assert lists.COLLECTIONS.page(ALICE).rows == []
    assert lists.PLAYLISTS.find(BOB, WALK).position == lists.PLAYLISTS.members(BOB, WALK).position == head
    assert lists.PLAYLISTS.page(uuid4()).position == lists.COLLECTIONS.page(uuid4()).position == head


def test_what_is_deleted_or_removed_is_not_shown(project: Project) -> None:
    gone = removed("a")
    record(playlist(ALICE, WALK), added("a"), added("b"), gone)
    project()
    assert items_of(lists.PLAYLISTS.members(ALICE, WALK)) == ["b"]
    assert lists.PLAYLISTS.page(ALICE).rows[0].items == 1
    record(PlaylistDeleted(user_id=ALICE, playlist_id=WALK, deleted_at=minutes(6)))
    project()
    assert lists.PLAYLISTS.page(ALICE).rows == lists.PLAYLISTS.find(ALICE, WALK).rows == []
    assert lists.PLAYLISTS.members(ALICE, WALK).rows == []


def test_a_checkpoint_takes_away_what_it_does_not_hold(connection: Connection, project: Project) -> None:
    gone = removed("a")
    history = [playlist(ALICE, WALK), playlist(ALICE, RUN), added("a"), added("b"), gone]
    history.append(PlaylistDeleted(user_id=ALICE, playlist_id=RUN, deleted_at=minutes(5)))
    record(*history, playlist(BOB, RUN))
    project()
    command = TakeCheckpoint(user_id=ALICE, now=NOON, before=minutes(6))
    record(take(folded([history])[0], command))
    project()
    left = dump(connection)
    assert [(row[0], row[1]) for row in left["playlists"]] == sorted([(ALICE, WALK), (BOB, RUN)])
    assert [row[3] for row in left["playlist_items"]] == [item_of("b", "")]


def test_an_older_addition_that_comes_later_does_not_bring_its_titles(project: Project) -> None:
    newer, older = (
        msgspec.structs.replace(added(at=at), item_title=title, feed_title=title)
        for at, title in ((2, "new"), (1, "old"))
    )
    record(playlist(ALICE, WALK), newer)
    project()
    record(older)
    project()
    [row] = lists.PLAYLISTS.members(ALICE, WALK).rows
    assert (row.item_title, row.feed_title, row.added_at) == ("new", "new", minutes(2))


def test_items_come_in_their_order_and_the_newcomers_after_them(project: Project) -> None:
    record(
        playlist(ALICE, WALK), added("a", 1), added("b", 2), added("d", 4), added("c", 3), reordered("b", "a")
    )
    project()
    assert items_of(lists.PLAYLISTS.members(ALICE, WALK)) == ["b", "a", "c", "d"]


def test_pages_of_items_show_each_once(project: Project) -> None:
    record(playlist(ALICE, WALK), *(added(f"item{n}", n % 3) for n in range(8)), reordered("item7", "item2"))
    project()
    whole = items_of(lists.PLAYLISTS.members(ALICE, WALK))
    assert whole[:2] == ["item7", "item2"]
    seen: list[str] = []
    after = None
    while after is not None or not seen:
        page = lists.PLAYLISTS.members(ALICE, WALK, after, limit=3)
        seen, after = [*seen, *items_of(page)], page.next
    assert seen == whole


@pytest.mark.parametrize("cursor", ["", "!", "MSAyMDI2IHg", "LTEgMjAyNi0wNS0wMVQxMjowMDowMCswMDowMCAwMA"])
def test_it_refuses_a_cursor_that_no_page_gave(project: Project, cursor: str) -> None:
    for read in (
        lambda: lists.PLAYLISTS.page(ALICE, cursor),
        lambda: lists.PLAYLISTS.members(ALICE, WALK, cursor),
        lambda: lists.COLLECTIONS.members(ALICE, WALK, cursor),
    ):
        with pytest.raises(InvalidCursor):
            read()


def test_the_default_collection_shows_what_is_subscribed_to(project: Project) -> None:
    default = default_id(ALICE)
    record(
        subscribed(ALICE, "one", at=1),
        msgspec.structs.replace(collection(ALICE, default, "All Subscriptions"), is_default=True),
        subscribed(ALICE, "two", at=2),
        subscribed(ALICE, "three", at=3),
        unsubscribed(ALICE, "two", at=4),
        CollectionReordered(
            user_id=ALICE, collection_id=default, order=("three", "gone"), updated_at=minutes(5)
        ),
    )
    project()
    assert [row.rss_source_feed for row in lists.COLLECTIONS.members(ALICE, default).rows] == ["three", "one"]
    [row] = lists.COLLECTIONS.page(ALICE).rows
    assert (row.is_default, row.feeds) == (True, 2)


def test_an_order_of_fifty_thousand_is_read_in_its_order(connection: Connection, project: Project) -> None:
    """The place of each item is looked up once, rather than by searching the order for every item."""
    many_items = [f"item{n}" for n in range(50_000)]
    everything = [playlist(ALICE, WALK), *(added(item) for item in many_items), reordered(*many_items[::-1])]
    project()
    project_batches(connection, "playlists", [everything])
    page = lists.PLAYLISTS.members(ALICE, WALK, limit=1_000)
    assert items_of(page) == many_items[:-1_001:-1]
