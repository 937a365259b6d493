"""Listeners move along when their feed moves, as if they had followed the new address and left the old."""

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from django.db import connections
from django.utils import timezone

from accounts.erasure import begin
from accounts.models import User
from eventstore import dispatcher, log
from eventstore.domain.collections import (
    AddFeedToCollection,
    CreateCollection,
    ReorderCollection,
    default_id,
)
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.plays import RecordPlay
from eventstore.domain.privacy import ChangePrivacy, PrivacyChanged, in_force
from eventstore.domain.subscriptions import Subscribe, Unsubscribe, UserSubscribed
from eventstore.domain.user import User as State
from eventstore.domain.user import decide, evolve
from feeds.merges import merge
from feeds.models import Feed
from feeds.moves import MovedKey, move
from jobs import moves
from jobs.moves import follow_moves
from operations.verification import verify
from projections import comparison
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from tests.feeds.shows import A, B, C, D, read
from tests.jobs.working import dispatch_all, read_models, run_projectors, state_of

pytestmark = pytest.mark.usefixtures("stores")

OLD, NEW, THIRD, OTHER = map(feed_of_url, (A, B, C, D))
ITEM = item_of("1", f"{A}/1.mp3")
LIST = uuid4()


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def followed(alice: User, now: datetime) -> UUID:
    """Alice has followed a feed for a month, among others; it is in a collection of hers, and private."""
    month_ago = now - timedelta(days=30)
    dispatch_all(
        ChangePrivacy(user_id=alice.pk, now=now, level="public"),
        ChangePrivacy(user_id=alice.pk, now=now, level="private", feed=OLD),
        ChangePrivacy(user_id=alice.pk, now=now, level="anonymous", feed=OLD, item=ITEM),
        Subscribe(user_id=alice.pk, now=now, feed=OLD, source_id="shelf", at=month_ago),
        Subscribe(user_id=alice.pk, now=now, feed=OTHER),
        RecordPlay(user_id=alice.pk, now=now, feed=OLD, item=ITEM, position=9, played=False),
        CreateCollection(user_id=alice.pk, now=now, collection_id=LIST, name="Mornings"),
        AddFeedToCollection(user_id=alice.pk, now=now, collection_id=LIST, feed=OLD, at=month_ago),
        AddFeedToCollection(user_id=alice.pk, now=now, collection_id=LIST, feed=OTHER),
    )
    run_projectors()
    read(A, ["1"])
    return alice.pk


def move_feed(*urls: str) -> None:
    """Move the test's feed to each of ``urls`` in turn."""
    feed = Feed.objects.get()
    for url in urls:
        move(feed.pk, url, "moved", timezone.now())


def following(user_id: UUID) -> set[str]:
    return {feed for feed, one in state_of(user_id).subscriptions.items() if one.active}


def events_of(user_id: UUID) -> list[log.RecordedEvent]:
    return log.read_stream(log.stream_of(user_id))


def test_the_new_address_is_followed_since_then_in_the_old_ones_places_and_the_old_one_left(
    followed: UUID, now: datetime
) -> None:
    head = len(events_of(followed))
    move_feed(B)
    assert follow_moves() == 1
    state = state_of(followed)
    assert following(followed) == {NEW, OTHER}
    new = state.subscriptions[NEW]
    assert (new.source_id, new.subscribed_at) == ("shelf", now - timedelta(days=30))
    collection = state.collections[str(LIST)]
    assert collection.order == (NEW, OTHER)
    assert in_force(state.privacy, NEW, None, "private") == ("private", "feed")
    assert in_force(state.privacy, NEW, ITEM, "private") == ("anonymous", "item")
    added = events_of(followed)[head:]
    assert {msgspec.json.decode(row.metadata)["cause"] for row in added} == {"feed_moved"}
    # plays keep the old address, and are found by the alias
    assert [play.feed for play in state.plays.values()] == [OLD]


def test_nothing_of_the_new_address_is_public_before_its_level_is(followed: UUID) -> None:
    move_feed(B)
    follow_moves()
    types = [row.type for row in events_of(followed) if NEW in row.data]
    assert types.index(PrivacyChanged.__name__) < types.index(UserSubscribed.__name__)
    run_projectors()
    with connections["projections"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM public.public_events WHERE rss_source_feed = %s", [NEW])
        assert cursor.fetchone()[0] == 0


def test_it_is_done_once_and_a_rebuild_leads_to_the_same(
    followed: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PAUSE_BETWEEN_LOOKS", 0)
    move_feed(B)
    follow_moves()
    run_projectors()
    head = log.head()
    assert follow_moves() == 0
    assert log.head() == head
    live = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == live
    assert verify(io.StringIO()).findings == 0


class Killed(BaseException):
    """Raised by a test to end a run."""


def dying_after(commands: int) -> Callable[..., dispatcher.Outcome]:
    """Return a ``dispatch`` that dispatches this many commands, and then ends the run with ``Killed``."""
    original, left = dispatcher.dispatch, iter(range(commands))

    def dispatch(*args: Any, **more: Any) -> dispatcher.Outcome:
        if next(left, None) is None:
            raise Killed
        return original(*args, **more)

    return dispatch


def test_a_run_that_is_killed_between_any_two_commands_is_finished_by_the_next(
    followed: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_feed(B)
    for number in range(9):
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(dispatcher, "dispatch", dying_after(number))
            follow_moves()
        run_projectors()
    assert following(followed) == {NEW, OTHER}
    assert state_of(followed).collections[str(LIST)].order == (NEW, OTHER)


def test_after_several_moves_listeners_go_to_the_end_of_the_chain(followed: UUID, bob: User) -> None:
    move_feed(B)
    dispatch_all(Subscribe(user_id=bob.pk, now=timezone.now(), feed=NEW))
    move_feed(C)
    run_projectors()
    assert follow_moves() == 2
    assert following(followed) == {THIRD, OTHER}
    assert following(bob.pk) == {THIRD}


def test_who_switched_it_off_keeps_the_old_address(followed: UUID) -> None:
    User.objects.filter(pk=followed).update(follow_moves=False)
    move_feed(B)
    assert follow_moves() == 0
    assert following(followed) == {OLD, OTHER}


def test_an_account_that_is_being_erased_is_left_alone(followed: UUID) -> None:
    begin(followed, timezone.now())
    move_feed(B)
    assert follow_moves() == 0


def test_who_follows_both_addresses_is_left_with_the_new_one(followed: UUID, now: datetime) -> None:
    dispatch_all(Subscribe(user_id=followed, now=now, feed=NEW, source_id="own"))
    run_projectors()
    move_feed(B)
    assert follow_moves() == 1
    assert following(followed) == {NEW, OTHER}
    assert state_of(followed).subscriptions[NEW].source_id == "own"


def test_who_follows_both_of_twins_has_one_entry_under_https(alice: User, now: datetime) -> None:
    plain = feed_of_url(A.replace("https", "http"))
    dispatch_all(*(Subscribe(user_id=alice.pk, now=now, feed=feed) for feed in (plain, OLD)))
    run_projectors()
    for url in (A.replace("https", "http"), A):
        read(url, ["1", "2", "3"], at=now)
    assert follow_moves() == 1
    assert following(alice.pk) == {OLD}


@pytest.mark.parametrize("reason", ["merged", "operator"])
def test_a_merge_that_no_server_announces_leaves_listeners_where_they_are(
    followed: UUID, reason: str
) -> None:
    merge(Feed.objects.get().pk, read(B, ["1"]).pk, reason, timezone.now())
    assert follow_moves() == 0
    assert following(followed) == {OLD, OTHER}


def test_who_left_the_new_address_once_follows_it_again(followed: UUID, now: datetime) -> None:
    dispatch_all(
        Subscribe(user_id=followed, now=now, feed=NEW), Unsubscribe(user_id=followed, now=now, feed=NEW)
    )
    move_feed(B)
    assert follow_moves() == 1
    assert following(followed) == {NEW, OTHER}


def test_there_and_back_leads_every_listener_back(followed: UUID) -> None:
    move_feed(B)
    follow_moves()
    run_projectors()
    move_feed(A)
    assert follow_moves() == 1
    assert following(followed) == {OLD, OTHER}


def test_the_order_of_all_subscriptions_has_the_new_one_in_the_old_ones_place(
    followed: UUID, now: datetime
) -> None:
    everything = default_id(followed)
    dispatch_all(ReorderCollection(user_id=followed, now=now, collection_id=everything, feeds=(OLD, OTHER)))
    move_feed(B)
    follow_moves()
    assert state_of(followed).collections[str(everything)].order == (NEW, OTHER)


def test_of_two_levels_the_one_that_shows_less_counts(alice: User, now: datetime) -> None:
    for old, new, then in [
        ("private", "public", "private"),
        ("public", "private", "private"),
        ("public", None, "public"),
        (None, "public", "public"),
    ]:
        state = State(alice.pk)
        commands = [Subscribe(user_id=alice.pk, now=now, feed=OLD)]
        for feed, level in ((OLD, old), (NEW, new)):
            if level is not None:
                commands.append(ChangePrivacy(user_id=alice.pk, now=now, level=level, feed=feed))  # type: ignore[arg-type]
        commands += [step.command for step in moves.steps(folded(state, commands), OLD, NEW, now)]  # type: ignore[misc]
        after = folded(State(alice.pk), commands)
        assert in_force(after.privacy, NEW, None, "private").level == then, (old, new)
        assert not list(moves.steps(after, OLD, NEW, now))


def folded(state: State, commands: Any) -> State:
    for command in commands:
        for event in decide(state, command):
            evolve(state, event)
    return state


def test_one_listener_who_cannot_be_read_keeps_nobody_else(
    followed: UUID, bob: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch_all(Subscribe(user_id=bob.pk, now=timezone.now(), feed=OLD))
    run_projectors()
    move_feed(B)
    original = dispatcher.state_of

    def state(user_id: UUID) -> Any:
        if user_id == followed:
            raise dispatcher.StreamUnreadable("broken")
        return original(user_id)

    monkeypatch.setattr(dispatcher, "state_of", state)
    assert follow_moves() == 1
    assert "StreamUnreadable" in caplog.text
    assert A not in caplog.text


def test_what_is_remembered_of_a_move_is_its_own(followed: UUID, now: datetime) -> None:
    key = MovedKey(uuid4(), A, B, now)
    assert moves.follow(followed, key)
    dispatch_all(Subscribe(user_id=followed, now=timezone.now(), feed=OLD))
    # a device that keeps sending the old address does not start the move anew each time
    assert not moves.follow(followed, key)
    assert moves.follow(followed, key._replace(since=timezone.now()))
