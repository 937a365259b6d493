"""Which privacy setting decides, and the events of changing one."""

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import privacy
from eventstore.domain.plays import PlayEntry
from eventstore.domain.privacy import (
    ChangePrivacy,
    ClearPrivacy,
    InForce,
    Level,
    PrivacyChanged,
    PrivacyEntry,
    scope_of,
)
from eventstore.domain.sync import SyncUserData
from eventstore.domain.user import User, decide
from tests.domain.scenarios import (
    ALICE,
    FEEDS,
    ITEMS,
    MONDAY,
    NEWS,
    NOON,
    PAST,
    SCIENCE,
    folded,
    minutes,
    synced,
    when,
)

YEAR = timedelta(days=365)
LEVELS: list[Level] = ["public", "anonymous", "private"]
OR_CLEARED: list[Level | None] = [*LEVELS, None]

feeds, items = st.none() | st.sampled_from(FEEDS), st.none() | st.sampled_from(ITEMS)
# of any scope; only entries of the same scope are merged with each other
entries = st.builds(PrivacyEntry, st.sampled_from(OR_CLEARED), PAST, feeds, items)


def change(
    level: Level,
    at: datetime | None = None,
    now: datetime = NOON,
    feed: str | None = None,
    item: str | None = None,
) -> ChangePrivacy:
    return ChangePrivacy(user_id=ALICE, level=level, at=at, now=now, feed=feed, item=item)


def clear(at: datetime | None = None, now: datetime = NOON, feed: str | None = None) -> ClearPrivacy:
    return ClearPrivacy(user_id=ALICE, at=at, now=now, feed=feed)


def changed(
    level: Level | None, at: datetime, feed: str | None = None, item: str | None = None, **more: Any
) -> PrivacyChanged:
    return PrivacyChanged(
        user_id=ALICE, level=level, changed_at=at, rss_source_feed=feed, rss_source_item=item, **more
    )


def sends(*sent: PrivacyEntry, now: datetime = NOON) -> SyncUserData:
    return SyncUserData(user_id=ALICE, now=now, privacy_settings=list(sent))


def level_after(*events: PrivacyChanged, feed: str | None = NEWS, item: str | None = MONDAY) -> InForce:
    return privacy.in_force(folded(events).privacy, feed, item, "private")


@pytest.mark.parametrize(("item", "feed", "user"), list(product(OR_CLEARED, repeat=3)))
def test_the_most_specific_setting_decides(
    item: Level | None, feed: Level | None, user: Level | None
) -> None:
    settings = [changed(item, NOON, NEWS, MONDAY), changed(feed, NOON, NEWS), changed(user, NOON)]
    if item is not None:
        expected = InForce(item, "item")
    elif feed is not None:
        expected = InForce(feed, "feed")
    elif user is not None:
        expected = InForce(user, "user")
    else:
        expected = InForce("private", "instance")
    assert level_after(*settings) == expected


def test_without_any_setting_the_instances_default_decides() -> None:
    for level in LEVELS:
        assert privacy.in_force({}, NEWS, MONDAY, level) == InForce(level, "instance")


def test_a_setting_reaches_nothing_beside_its_scope() -> None:
    of_news = changed("public", NOON, NEWS)
    assert level_after(of_news, feed=SCIENCE) == InForce("private", "instance")
    assert level_after(of_news, feed=None, item=None) == InForce("private", "instance")
    assert level_after(changed("public", NOON, NEWS, MONDAY), item=None) == InForce("private", "instance")


def test_a_change_is_recorded_at_the_servers_time_or_the_clients() -> None:
    assert when(change("public")) == [changed("public", NOON)]
    assert when(change("anonymous", minutes(-5), feed=NEWS)) == [changed("anonymous", minutes(-5), NEWS)]


def test_the_same_level_again_changes_nothing() -> None:
    assert when(change("public", now=minutes(5)), [changed("public", NOON)]) == []
    assert when(change("public", NOON), [changed("public", NOON)]) == []


def test_clearing_lets_the_wider_setting_decide() -> None:
    given_ = [changed("public", NOON), changed("private", NOON, NEWS)]
    events = when(clear(now=minutes(1), feed=NEWS), given_)
    assert events == [changed(None, minutes(1), NEWS)]
    assert level_after(*given_, events[0]) == InForce("public", "user")  # type: ignore[arg-type]


def test_clearing_what_is_not_set_changes_nothing() -> None:
    assert when(clear()) == []
    assert when(clear(now=minutes(1)), [changed(None, NOON)]) == []


def test_a_change_made_here_comes_after_what_is_known() -> None:
    given_ = [changed("public", minutes(4))]
    user = folded(given_)
    folded(decide(user, change("private", now=NOON)), user)
    assert privacy.in_force(user.privacy, None, None, "public").level == "private"


@pytest.mark.parametrize(("one", "other"), list(product(LEVELS, repeat=2)))
def test_on_equal_times_the_more_private_stands_in_any_order(one: Level, other: Level) -> None:
    stricter = max(one, other, key=LEVELS.index)
    for pair in ((one, other), (other, one)):
        assert level_after(*(changed(level, NOON) for level in pair)).level == stricter


def test_an_older_change_changes_nothing() -> None:
    assert when(change("public", minutes(-1)), [changed("private", NOON)]) == []


def test_the_feed_of_an_item_is_kept_when_only_the_item_is_named_later() -> None:
    """A removal of everything about a feed has to find the settings of its items."""
    given_ = [changed("public", NOON, NEWS, MONDAY)]
    events = when(change("private", now=minutes(1), item=MONDAY), given_)
    assert events == [changed("private", minutes(1), NEWS, MONDAY)]


def test_the_feed_of_an_item_is_learnt_also_where_the_level_stays() -> None:
    given_ = [changed("public", NOON, None, MONDAY)]
    events = when(change("public", now=minutes(1), feed=NEWS, item=MONDAY), given_)
    assert events == [changed("public", minutes(1), NEWS, MONDAY)]


def test_a_wrong_clock_counts_once_and_does_not_win_for_ever() -> None:
    claim = NOON + YEAR
    first = when(change("public", claim))
    assert first == [changed("public", NOON, claimed_at=claim)]
    since = [*first, changed("private", minutes(10))]
    assert when(change("public", claim, now=minutes(20)), since) == []
    assert when(sends(PrivacyEntry("public", claim), now=minutes(20)), since) == []


def test_a_wrong_clock_that_lost_does_not_win_later() -> None:
    given_ = [changed("private", minutes(4))]
    since = [*given_, *when(change("public", NOON + YEAR), given_)]
    assert when(change("public", NOON + YEAR, now=minutes(10)), since) == []
    assert folded(since).privacy["user"].level == "private"


def test_of_a_payload_what_hides_is_recorded_before_what_it_hides() -> None:
    payload = SyncUserData(
        user_id=ALICE,
        now=NOON,
        play_statuses=[PlayEntry(NEWS, MONDAY, 1, False, NOON)],
        privacy_settings=[PrivacyEntry("private", NOON, NEWS)],
    )
    assert [type(event).__name__ for event in when(payload)] == ["PrivacyChanged", "PlayRecorded"]


@given(st.lists(entries, max_size=6), st.randoms(use_true_random=False))
def test_entries_in_any_order_cut_anyhow_end_with_the_same(sent: list[PrivacyEntry], random: Any) -> None:
    whole, apart = User(ALICE), User(ALICE)
    synced(whole, sends(*sent))
    shuffled = [*sent, *sent]
    random.shuffle(shuffled)
    for one in shuffled:
        synced(apart, sends(one))
    assert apart.privacy == whole.privacy
    assert decide(whole, sends(*sent)) == []


@given(st.lists(entries, max_size=6), st.lists(entries, min_size=1, max_size=4))
def test_what_lost_is_listed_with_both_values(known: list[PrivacyEntry], sent: list[PrivacyEntry]) -> None:
    user = User(ALICE)
    synced(user, sends(*known))
    synced(user, sends(*sent))
    merged = privacy.REGISTER.merge_payload(sent, ALICE)
    found = privacy.REGISTER.conflicts(user.privacy, merged, NOON)
    conflicts = {privacy.REGISTER.key.read(client): (client, *rest) for _, client, *rest in found}
    for scope, incoming in merged.items():
        current = user.privacy[scope]
        assert (scope in conflicts) is (incoming.level != current.level)
        if scope in conflicts:
            client, server, rule = conflicts[scope]
            assert (client, server) == (
                PrivacyEntry(incoming.level, incoming.changed_at, incoming.feed, incoming.item),
                PrivacyEntry(current.level, current.changed_at, current.feed, current.item),
            )
            tie = incoming.changed_at == current.changed_at
            assert rule == ("more_private_wins_a_tie" if tie else "later_wins")


def test_the_document_holds_what_was_asked_for() -> None:
    user = folded(
        [changed("public", NOON), changed(None, NOON, NEWS), changed("private", NOON, NEWS, MONDAY)]
    )
    assert len(privacy.REGISTER.to_entries(user.privacy)) == 3
    asked = [scope_of(NEWS, None), scope_of(SCIENCE, None)]
    assert privacy.REGISTER.to_entries(user.privacy, asked) == [PrivacyEntry(None, NOON, NEWS)]


def test_pruning_leaves_out_what_was_cleared_before_and_nothing_else() -> None:
    old, recent = minutes(-60), minutes(-10)
    state = folded(
        [changed("private", old), changed(None, old, NEWS), changed(None, recent, SCIENCE)]
    ).privacy
    assert privacy.REGISTER.prune(state, minutes(-30)).keys() == {"user", scope_of(SCIENCE, None)}
