"""Strategies, and helpers for the domain's tests: given these events, when this command, then those."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import episode_key, feed_of_url, normalise_item
from eventstore.domain.messages import Command, Event
from eventstore.domain.plays import PlayEntry
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncUserData
from eventstore.domain.user import User, decide, evolve

ALICE = UUID("a11ce000-0000-4000-8000-000000000000")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FEEDS = [feed_of_url(f"https://example.org/{name}.xml") for name in ("news", "science", "music")]
NEWS, SCIENCE, MUSIC = FEEDS
MONDAY, TUESDAY = "bW9uZGF5LA==", "dHVlc2RheSw="
ITEMS = [MONDAY, TUESDAY]
assert [normalise_item(item) for item in ITEMS] == ITEMS


def key(item: str, feed: str = NEWS) -> str:
    """The key of an episode."""
    return episode_key(feed, item)


def minutes(number: float) -> datetime:
    """The time this many minutes after noon."""
    return NOON + timedelta(minutes=number)


def folded(events: Sequence[Event], user: User | None = None) -> User:
    user = user or User(ALICE)
    for event in events:
        evolve(user, event)
    return user


def when(command: Command, given: Sequence[Event] = ()) -> list[Event]:
    """The events of ``command`` after ``given``; check that deciding it again yields no more events."""
    user = folded(given)
    events = decide(user, command)
    again = decide(folded(events, user), command)
    assert again == [], "deciding twice"
    return events


def refusal(command: Command, given: Sequence[Event] = ()) -> str:
    """The code with which ``command`` is refused after ``given``."""
    try:
        decide(folded(given), command)
    except DomainError as refused:
        return refused.code
    raise AssertionError("not refused")


def synced(user: User, payload: SyncUserData) -> list[Event]:
    """Decide one sync and fold its events into ``user``; return the events."""
    events = decide(user, payload)
    folded(events, user)
    return events


# few keys and times, so that those of devices often coincide; the last hour is ahead of every clock
TIMES = st.integers(-6, 1).map(lambda hours: NOON + timedelta(hours=hours))
PAST = st.integers(-6, 0).map(lambda hours: NOON + timedelta(hours=hours))


def subscription_entries(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[SubscriptionEntry]:
    either = st.builds(
        SubscriptionEntry,
        rss_source_feed=st.sampled_from(FEEDS),
        rss_source_id=st.sampled_from([None, "a", "b"]),
        subscribed_at=st.none() | times,
        unsubscribed_at=st.none() | times,
    )
    return either.filter(lambda entry: entry.subscribed_at is not None or entry.unsubscribed_at is not None)


def play_entries(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[PlayEntry]:
    return st.builds(
        PlayEntry,
        rss_source_feed=st.sampled_from(FEEDS),
        rss_source_item=st.sampled_from(ITEMS),
        position=st.integers(0, 3),
        played=st.booleans(),
        updated_at=times,
    )


def payloads(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[SyncUserData]:
    return st.builds(
        SyncUserData,
        user_id=st.just(ALICE),
        now=st.just(NOON),
        subscriptions=st.lists(subscription_entries(times), max_size=5),
        play_statuses=st.lists(play_entries(times), max_size=5),
    )
