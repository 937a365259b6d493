"""What listeners are told that others see, now and after a change, is what the public then gets."""

from collections import Counter
from collections.abc import Iterable
from itertools import count, product
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.privacy import Level
from projections import exposure, profiles
from projections.exposure import Altered, Change
from tests.api.devices import feed, item
from tests.privacy.acts import KINDS, SECRET, Act, account, level, seen
from tests.projecting import bring_up_to_date
from tests.projections.histories import marked, played, record, subscribed
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")
LEVELS: tuple[Level | None, ...] = ("public", "anonymous", "private", None)
FEEDS = [feed(1), feed(2), SECRET]
ITEMS = [item(1), item(2)]
BLOCKED = feed(3)
SCOPES: list[tuple[str | None, str | None]] = [
    (None, None),
    *((one, None) for one in FEEDS),
    *product(FEEDS, ITEMS),
]
# kind, feed, item, and whether the username is shown
What = tuple[str, str, str | None, bool]


class Sight(NamedTuple):
    """What anybody can see: the listener's acts in the timeline, and the feeds that the listener follows."""

    acts: Counter[What]
    follows: set[str]


def sight(user: UUID) -> Sight:
    events = seen("timeline?limit=1000")["events"]
    acts = Counter(
        (one["event_type"], one["rss_source_feed"], one["rss_source_item"], one["username"] is not None)
        for one in events
    )
    own = {row.rss_source_feed for row in profiles.podcasts_of(user, 100).rows}
    for name in (*FEEDS, BLOCKED):
        assert (name in own) == any(row.user_id == user for row in profiles.followers_of(name, 100))
    named = Counter(
        (row.kind, row.rss_source_feed, row.rss_source_item, True)
        for row in profiles.acts_of(user, 1_000).rows
    )
    assert named <= acts
    return Sight(acts, own)


def announced(altered: Iterable[Altered]) -> Counter[What]:
    """How many acts a preview says will appear; those that will disappear count negatively."""
    total: Counter[What] = Counter()
    for one in altered:
        what = one.kind, one.rss_source_feed, one.rss_source_item
        total[(*what, one.before == "public")] -= one.before != "private"
        total[(*what, one.after == "public")] += one.after != "private"
    return total


def without_zeros(of: Counter[What]) -> dict[What, int]:
    return {what: number for what, number in of.items() if number}


def change(user: UUID, changes: list[Change], at: int, before: Sight) -> Sight:
    """Get the preview, make the changes, and check that what everybody sees changes as the preview said."""
    altered = announced(exposure.preview(user, changes))
    would = exposure.followed(user, changes)
    record(*(level(one.level, user, one.feed, one.item, at) for one in changes))
    bring_up_to_date()
    after = sight(user)
    difference = after.acts.copy()
    difference.subtract(before.acts)
    assert without_zeros(difference) == without_zeros(altered), changes
    assert after.follows == {name for name, to in would.items() if to == "public"}
    assert exposure.followed(user) == would
    assert exposure.preview(user, []) == []
    return after


def test_for_each_level_and_override_the_preview_is_what_the_public_then_sees() -> None:
    """Every level of the account, of a podcast and of an episode, and every change between levels."""
    account("alice", 1)
    alice = UUID(int=1)
    record(
        *(
            Act(kind, name, one, 1).by(alice)
            for kind, name, one in product(("subscribe", "play", "save", "share"), FEEDS, ITEMS)
        ),
        subscribed(alice, BLOCKED),
        played(alice, ITEMS[0], feed=BLOCKED),
        marked(BLOCKED),
    )
    bring_up_to_date()
    scopes, times = [*SCOPES[:2], (FEEDS[0], ITEMS[0])], count(1)
    public = sight(alice)
    for levels in product(LEVELS[:3], LEVELS, LEVELS[::3]):
        wanted = [Change(scope[0], scope[1], to) for scope, to in zip(scopes, levels, strict=True)]
        public = change(alice, wanted, next(times), public)
    assert exposure.seen(alice, 1_000) == exposure.PublicActs([], 0, 0)
    both = [Change(None, None, "anonymous"), Change(FEEDS[0], None, "public")]
    public = change(alice, both, next(times), public)
    now = exposure.seen(alice, 1_000)
    shown = Counter((act.kind, act.rss_source_feed, act.rss_source_item, named) for act, named in now.acts)
    assert shown == public.acts
    assert (now.named, now.unnamed) == (7, 7)


numbers = count(100)
acts = st.builds(
    Act, st.sampled_from(KINDS), st.sampled_from(FEEDS), st.sampled_from(ITEMS), st.integers(0, 90)
)
changes = st.lists(
    st.builds(
        lambda scope, to: Change(scope[0], scope[1], to), st.sampled_from(SCOPES), st.sampled_from(LEVELS)
    ),
    max_size=4,
    unique_by=lambda one: one[:2],
)


@given(st.lists(acts, max_size=8), changes, changes)
@examples(5)
def test_after_whatever_was_done_and_set_a_preview_tells_what_changes(
    done: list[Act], first: list[Change], second: list[Change]
) -> None:
    number = next(numbers)
    user = account(f"listener{number}", number).pk
    record(*(act.by(user) for act in done))
    bring_up_to_date()
    public = change(user, first, 100, sight(user))
    change(user, second, 101, public)
