"""What follows from evidence that a feed has moved, or that one show is at two addresses."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.identifiers import normalise_url
from feeds import identity
from feeds.fetch import Hop
from feeds.identity import Evidence, Overlap, Show, Verdict, judge, permanent_target

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
A, B, C = (f"https://{name}.example/feed.xml" for name in "abc")
SECRET = "https://www.patreon.com/rss/show?auth=Zk3rTq8wLm5vXc2yBn7d"
GUID, OTHER_GUID = uuid4(), uuid4()
ALL, MOST, HALF, LESS, NONE = (Overlap(shared, 20) for shared in (20, 16, 10, 9, 0))


def hops(*steps: tuple[int, str]) -> list[Hop]:
    found, url = [], A
    for status, to in steps:
        found.append(Hop(url, status, to))
        url = to
    return found


REDIRECTS: list[tuple[str, list[Hop], str | None]] = [
    ("no redirect", [], None),
    ("301", hops((301, B)), B),
    ("308", hops((308, B)), B),
    ("302", hops((302, B)), None),
    ("303", hops((303, B)), None),
    ("307", hops((307, B)), None),
    ("permanent twice", hops((301, B), (308, C)), C),
    ("permanent, then for now", hops((301, B), (302, C)), B),
    ("for now, then permanent", hops((302, B), (301, C)), None),
    ("back to itself", hops((301, B), (301, A)), None),
    ("itself, spelled otherwise", hops((301, "HTTPS://A.example:443/feed.xml#top")), None),
    ("not normal", hops((301, "https://B.example:443/feed.xml")), B),
    ("a secret address", hops((301, SECRET)), None),
    ("no address of a feed", hops((301, "https://b.example/" + "x" * 3_000)), None),
]


def test_only_permanent_redirects_from_the_address_itself_lead_to_another() -> None:
    for name, found, target in REDIRECTS:
        assert permanent_target(A, found) == target, name


def test_from_a_secret_address_nothing_moves() -> None:
    assert permanent_target(SECRET, [Hop(SECRET, 301, B)]) is None


@given(st.lists(st.tuples(st.sampled_from([301, 302, 303, 307, 308]), st.sampled_from([A, B, C]))))
def test_a_target_is_behind_permanent_redirects_alone(steps: list[tuple[int, str]]) -> None:
    found = hops(*steps)
    target = permanent_target(A, found)
    if target is not None:
        reached = next(number for number, hop in enumerate(found) if hop.to == target)
        assert target == normalise_url(target) != A
        assert all(hop.status in (301, 308) for hop in found[: reached + 1])


def evidence(reason: str = "moved", *, times: int = 1, hours: float = 0, **more: Any) -> Evidence:
    defaults = {"same_show": False, **more}
    return Evidence(reason, B, NOON - hours * HOUR, NOON, times, **defaults)


VERDICTS: list[tuple[str, Evidence, Verdict]] = [
    ("a redirect, once", evidence(), Verdict.NOTHING),
    ("twice over 48 h", evidence(times=2, hours=48), Verdict.NOTHING),
    ("three times over 47 h", evidence(times=3, hours=47), Verdict.NOTHING),
    ("three times over 48 h", evidence(times=3, hours=48), Verdict.MOVE),
    ("to the same show, at once", evidence(same_show=True), Verdict.MOVE),
    ("announced, once", evidence("new_feed_url", same_show=True), Verdict.NOTHING),
    (
        "announced for 23 h",
        evidence("new_feed_url", times=9, hours=23, same_show=True),
        Verdict.NOTHING,
    ),
    (
        "announced for a day, to the same show",
        evidence("new_feed_url", times=2, hours=24, same_show=True),
        Verdict.MOVE,
    ),
    ("announced for ever, to another show", evidence("new_feed_url", times=99, hours=999), Verdict.NOTHING),
    (
        "of no kind that proves anything",
        evidence("typed", times=9, hours=999, same_show=True),
        Verdict.NOTHING,
    ),
    ("back after 6 days", evidence(same_show=True, left_at=NOON - 6 * DAY), Verdict.RETURN),
    ("back after 7 days", evidence(same_show=True, left_at=NOON - 7 * DAY), Verdict.MOVE),
    ("back, without proof", evidence(left_at=NOON - DAY), Verdict.NOTHING),
    ("blocked by the operator", evidence(same_show=True, kept_apart=True), Verdict.NOTHING),
    ("blocked, and lasting", evidence(times=9, hours=999, kept_apart=True), Verdict.NOTHING),
]


def test_evidence_leads_to_what_the_table_says() -> None:
    for name, found, verdict in VERDICTS:
        assert judge(found, NOON) is verdict, name


SAME_SHOWS: list[tuple[UUID | None, UUID | None, Overlap, bool]] = [
    (GUID, GUID, NONE, True),
    (GUID, OTHER_GUID, NONE, False),
    (None, None, NONE, False),
    (None, None, HALF, True),
    (GUID, OTHER_GUID, HALF, True),
    (GUID, None, LESS, False),
    (None, None, Overlap(0, 0), False),
]


def test_behind_its_own_redirect_a_guid_or_half_of_the_episodes_are_the_same_show() -> None:
    for guid, other, shared, same in SAME_SHOWS:
        assert identity.is_same_show(guid, other, shared) is same, (guid, other, shared)


def show(url: str, guid: UUID | None, overlap: Overlap, since: datetime = NOON) -> Show:
    return Show(url, guid, since, overlap)


PLAIN = "http://a.example/feed.xml"
TWINS: list[tuple[Show, Show, bool]] = [
    (show(A, None, MOST), show(PLAIN, None, MOST), True),
    (show(A, GUID, NONE), show(PLAIN, GUID, NONE), True),
    (show(A, None, MOST), show(PLAIN, None, HALF), False),
    (show(A, None, HALF), show(PLAIN, None, MOST), False),
    (show(A, GUID, ALL), show(B, GUID, ALL), False),
    (show(A, None, ALL), show("http://www.a.example/feed.xml", None, ALL), False),
    (show(A, None, ALL), show(f"{PLAIN}/", None, ALL), False),
]


def test_http_and_https_of_one_address_with_the_same_show_are_twins() -> None:
    for one, other, twins in TWINS:
        assert identity.are_twins(one, other) is identity.are_twins(other, one) is twins, (one, other)


ONE_SHOW: list[tuple[Show, Show, bool]] = [
    (show(A, GUID, HALF), show(B, GUID, HALF), True),
    (show(A, GUID, NONE), show(B, GUID, NONE), False),  # a copied GUID
    (show(A, GUID, ALL), show(B, GUID, LESS), False),  # a copy that has many more episodes of its own
    (show(A, GUID, Overlap(2, 2)), show(B, GUID, Overlap(2, 2)), False),  # too few episodes to decide
    (show(A, GUID, Overlap(3, 3)), show(B, GUID, Overlap(3, 3)), True),
    (show(A, None, ALL), show(B, None, ALL), False),
    (show(A, GUID, ALL), show(B, OTHER_GUID, ALL), False),
]


def test_two_feeds_are_one_show_by_the_guid_and_the_episodes_of_both() -> None:
    for one, other, same in ONE_SHOW:
        assert identity.are_one_show(one, other) is identity.are_one_show(other, one) is same, (one, other)


def test_https_of_twins_is_kept_then_whose_address_made_the_guid_then_the_older() -> None:
    older = NOON - DAY
    assert identity.address_to_keep(show(PLAIN, None, ALL, older), show(A, None, ALL)) == A
    assert identity.address_to_keep(show(A, GUID, ALL), show(B, GUID, ALL, older)) == B
    # somebody who copies a GUID cannot copy the address from which it was derived
    guid = identity.guid_of(A)
    assert identity.address_to_keep(show(A, guid, ALL), show(B, guid, ALL, older)) == A


@given(st.sets(st.binary(min_size=1, max_size=1), max_size=20), st.sets(st.binary(min_size=1, max_size=1)))
def test_an_overlap_counts_what_both_have(newest: set[bytes], others: set[bytes]) -> None:
    found = identity.overlap(newest, others)
    assert found == (len(newest & others), len(newest))
    assert found.reaches(100) is (bool(newest) and newest <= others)


@pytest.mark.parametrize("url", ["https://podnews.net/rss", "http://podnews.net/rss//"])
def test_a_feeds_address_leads_to_its_podcast_guid(url: str) -> None:
    assert identity.guid_of(url) == UUID("9b024349-ccf0-5f69-a609-6b82873eab3c")
