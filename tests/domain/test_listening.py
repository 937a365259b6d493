"""How many seconds were heard: the rules hold whatever devices report and in whatever order."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.checkpoint import TakeCheckpoint, UserCheckpoint, take
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import item_of
from eventstore.domain.listening import (
    BREAK,
    FASTEST,
    LONGEST_STEP,
    EpisodeHeard,
    Heard,
    ImportListening,
    Span,
    bring,
    counted_once,
    lacking,
)
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.removal import RemoveEvents, remove
from eventstore.domain.tally import SentEvent, tally
from eventstore.domain.times import NEVER
from eventstore.domain.topics import User
from tests.domain.scenarios import ALICE, MONDAY, NEWS, NOON, SCIENCE, TUESDAY

PHONE, DESK = "phone", "desk"


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def place(
    seconds: float, position: int, device: str | None = PHONE, item: str = MONDAY, **more: Any
) -> SentEvent:
    event = PlayRecorded(
        user_id=ALICE,
        rss_source_feed=more.pop("feed", NEWS),
        rss_source_item=item,
        position=position,
        played=more.pop("played", False),
        played_at=after(seconds),
        **more,
    )
    return event, device


def spans(listening: Iterable[EpisodeHeard]) -> list[Span]:
    return [
        Span(one.starts_at, one.at, one.seconds, of.rss_source_feed, of.rss_source_item, one.device)
        for of in listening
        for one in of.heard
        if one.starts_at is not None
    ]


def seconds(sent: Iterable[SentEvent]) -> float:
    """The seconds heard according to all reports."""
    return sum(span.seconds for span in counted_once(spans(tally(sent, NEVER))))


def checkpointed(sent: Sequence[SentEvent], before: datetime = NEVER) -> SentEvent:
    command = TakeCheckpoint(user_id=ALICE, now=NOON, before=before, listening=tally(sent, before))
    return take(User(ALICE), command), None


def test_what_lies_between_two_places_was_heard() -> None:
    assert seconds([place(0, 100), place(15, 115), place(30, 130)]) == 30


def test_a_step_back_and_a_jump_ahead_are_no_listening() -> None:
    assert seconds([place(0, 600), place(15, 300)]) == 0
    assert seconds([place(0, 100), place(10, 131)]) == 0
    assert seconds([place(0, 100), place(10, 130)]) == 30, "three times as fast is as fast as it gets"


def test_what_was_heard_after_a_pause_was_heard_at_its_end() -> None:
    (span,) = spans(tally([place(0, 0), place(8 * 3600, 600)], NEVER))
    assert (span.starts_at, span.seconds) == (after(8 * 3600 - 600), 600)


def test_at_a_speed_it_takes_less_time() -> None:
    (span,) = spans(tally([place(0, 0), place(3600, 600, speed=2.0)], NEVER))
    assert span.starts_at == after(3600 - 300)


def test_where_a_device_tells_from_where_it_played_that_counts() -> None:
    assert seconds([place(0, 600, started=0)]) == 600
    assert seconds([place(0, 600, started=0), place(300, 900, started=600)]) == 900
    assert seconds([place(0, 600, started=0), place(600, 1200, started=0)]) == 1200, "told again and again"
    assert seconds([place(0, 600, started=0), place(60, 600, started=0)]) == 600 + 180, "no more than fits"
    assert seconds([place(0, 600, started=600), place(0, 700, started=800)]) == 0


def test_a_step_longer_than_six_hours_is_none() -> None:
    day = 24 * 3600
    assert seconds([place(0, 0), place(day, LONGEST_STEP)]) == LONGEST_STEP
    assert seconds([place(0, 0), place(day, LONGEST_STEP + 1)]) == 0
    assert seconds([place(0, LONGEST_STEP + 1, started=0)]) == 0


def test_two_devices_that_play_at_once_count_once_and_the_faster_has_it() -> None:
    phone = [place(0, 0), place(60, 60)]
    desk = [place(0, 0, DESK, TUESDAY, feed=SCIENCE), place(60, 120, DESK, TUESDAY, feed=SCIENCE, speed=2.0)]
    assert seconds(phone + desk) == 120
    assert {span.device for span in counted_once(spans(tally(phone + desk, NEVER)))} == {DESK}


def test_a_device_that_takes_a_place_over_has_not_heard_it() -> None:
    begun_on_desk = place(0, 0, DESK)
    heard_on_phone = [place(100, 0), place(700, 600)]
    marked_on_desk = place(900, 600, DESK, played=True)
    sent = [begun_on_desk, *heard_on_phone, marked_on_desk, place(915, 615, DESK)]
    assert seconds(sent) == 615


def test_what_the_server_did_itself_is_no_listening() -> None:
    assert seconds([place(0, 0, None), place(60, 60, None)]) == 0


def test_an_episode_is_finished_where_something_was_heard_up_to_its_end() -> None:
    def finished(*sent: SentEvent) -> list[datetime]:
        return [one.finished_at for of in tally(sent, NEVER) for one in of.heard if one.finished_at]

    assert finished(place(0, 0), place(60, 60, played=True), place(75, 75, played=True)) == [after(60)]
    assert finished(place(0, 0, played=True)) == [], "marked, not heard"


def test_a_clock_of_another_century_counts_for_nothing() -> None:
    long_ago = NOON.replace(year=1)
    event = PositionUpdated(
        user_id=ALICE,
        rss_source_feed=NEWS,
        rss_source_item=MONDAY,
        position=9,
        played=False,
        updated_at=long_ago,
    )
    assert seconds([(event, PHONE)]) == 0
    begun = PlayRecorded(
        user_id=ALICE,
        rss_source_feed=NEWS,
        rss_source_item=MONDAY,
        position=9,
        played=False,
        started=0,
        played_at=long_ago,
    )
    assert seconds([(begun, PHONE)]) == 0


def test_an_hour_is_one_row_of_a_checkpoint() -> None:
    sent = [place(15 * n, 15 * n) for n in range(241)]
    (of,) = tally(sent, NEVER)
    assert [one.seconds for one in of.heard] == [3600]
    later = [*sent, place(3600 + BREAK.total_seconds() + 30, 3620)]
    assert [one.seconds for of in tally(later, NEVER) for one in of.heard] == [3600, 20]


def test_places_that_nobody_goes_on_from_leave_a_checkpoint() -> None:
    sent = [place(0, 50), place(10, 50, DESK, TUESDAY)]
    assert [of.rss_source_item for of in tally(sent, after(5))] == [TUESDAY]


def test_a_device_goes_on_after_a_checkpoint() -> None:
    before = [place(0, 0), place(15, 15), place(20, 300)]
    assert seconds([checkpointed(before), place(35, 315)]) == seconds([*before, place(35, 315)]) == 30


def test_an_enclosure_that_turns_out_to_be_an_episode_is_counted_with_it() -> None:
    file, item = item_of("", "https://example.org/1.mp3"), item_of("monday", "https://example.org/1.mp3")
    identified = EpisodeIdentified(
        user_id=ALICE, rss_source_feed=NEWS, known_item=file, rss_source_item=item, identified_at=NOON
    )
    sent = [place(0, 0, item=file), place(15, 15, item=file), (identified, None), place(30, 30, item=item)]
    assert seconds(sent) == 30
    assert [of.rss_source_item for of in tally(sent, NEVER)] == [item]


def test_what_is_removed_leaves_the_sums() -> None:
    kept = [place(0, 0), place(60, 60)]
    gone = [place(30, 0, item=TUESDAY, feed=SCIENCE), place(130, 100, item=TUESDAY, feed=SCIENCE)]
    sent = [checkpointed([*kept, *gone]), place(75, 75), place(145, 115, item=TUESDAY, feed=SCIENCE)]
    history, devices = [event for event, _ in sent], [device for _, device in sent]
    remains = remove(history, RemoveEvents(user_id=ALICE, now=NOON, feed=SCIENCE), devices)
    checkpoint = remains.events[-1]
    assert isinstance(checkpoint, UserCheckpoint)
    assert seconds([(checkpoint, None)]) == 75
    assert {of.rss_source_feed for of in checkpoint.listening} == {NEWS}


def test_an_import_brings_what_was_counted_and_a_removal_takes_it() -> None:
    sent = [place(0, 0), place(60, 60)]
    command = ImportListening(user_id=ALICE, now=NOON, listening=tally(sent, NEVER))
    imported = bring(command)
    assert seconds([(event, None) for event in imported]) == 60
    assert seconds([*sent, *((event, None) for event in imported)]) == 60, "once"
    assert bring(ImportListening(user_id=ALICE, now=NOON, listening=())) == []
    remains = remove(imported, RemoveEvents(user_id=ALICE, now=NOON, feed=NEWS), [None])
    assert seconds((event, None) for event in remains.events) == 0


def test_of_an_import_that_knows_more_of_a_listening_the_rest_is_new() -> None:
    short, long = ([place(n, n) for n in range(0, end, 30)] for end in (301, 601))
    (known,), (sent,) = (tally(each, NEVER) for each in (short, long))
    (rest,) = lacking(sent.heard, known.heard)
    assert (rest.starts_at, rest.at, rest.seconds) == (after(300), after(600), 300)
    assert list(lacking(sent.heard, sent.heard)) == list(lacking(known.heard, sent.heard)) == []
    assert list(lacking(sent.heard, ())) == list(sent.heard)


# whatever devices report

DEVICES = st.sampled_from([PHONE, DESK])
ITEMS = st.sampled_from([MONDAY, TUESDAY])
PLACES = st.builds(
    place,
    st.integers(0, 900),
    st.integers(0, 1200),
    DEVICES,
    ITEMS,
    played=st.booleans(),
    started=st.none() | st.integers(0, 1200),
    speed=st.none() | st.sampled_from([0.5, 1.0, 1.5, 3.0, 8.0]),
)
HISTORIES = st.lists(PLACES, max_size=12)


def within(sent: Iterable[Span], start: datetime, end: datetime) -> float:
    return sum(
        span.rate * (min(span.ends_at, end) - max(span.starts_at, start)).total_seconds()
        for span in sent
        if span.starts_at < end and start < span.ends_at
    )


@given(HISTORIES, st.integers(-1200, 900), st.integers(1, 600))
def test_nobody_hears_more_than_three_seconds_in_one_and_never_less_than_none(
    sent: list[SentEvent], start: int, length: int
) -> None:
    counted = list(counted_once(spans(tally(sent, NEVER))))
    assert all(span.seconds > 0 and span.starts_at < span.ends_at for span in counted)
    heard = within(counted, after(start), after(start + length))
    # times are in whole microseconds
    assert heard <= FASTEST * length + 1e-4


@given(HISTORIES)
def test_spans_do_not_overlap_once_they_are_counted(sent: list[SentEvent]) -> None:
    counted = sorted(counted_once(spans(tally(sent, NEVER))))
    assert all(one.ends_at <= other.starts_at for one, other in pairwise(counted))


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(1, 90), st.sampled_from("abc")))
)
def test_at_every_moment_the_fastest_of_those_that_play_counts(sent: list[tuple[int, int, int, str]]) -> None:
    playing = [Span(after(start), after(start + long), heard, "", "", of) for start, long, heard, of in sent]
    counted = list(counted_once(playing))
    for moment in range(90):
        middle = after(moment + 0.5)
        rates = [span.rate for span in playing if span.starts_at < middle < span.ends_at]
        found = [span.rate for span in counted if span.starts_at < middle < span.ends_at]
        assert found == pytest.approx([max(rates)] if rates else [])


def test_thousands_that_overlap_are_counted_once() -> None:
    """Such spans arise when an app reports everything it knows at once."""
    playing = [Span(after(n), after(n + 1_700), 1_700, "", str(n), PHONE) for n in range(5_000)]
    assert sum(span.seconds for span in counted_once(playing)) == pytest.approx(5_000 - 1 + 1_700)


@given(HISTORIES, st.randoms(use_true_random=False))
def test_neither_the_order_of_arrival_nor_a_repetition_matters(sent: list[SentEvent], random: Any) -> None:
    again = [*sent, *sent[:3]]
    random.shuffle(again)
    assert by_episode(tally(again, NEVER)) == by_episode(tally(sent, NEVER))


@given(st.lists(PLACES, max_size=10), st.integers(0, 900))
def test_a_checkpoint_keeps_what_was_counted_and_what_comes_after_counts_as_without_it(
    sent: list[SentEvent], cut: int
) -> None:
    before = [one for one in sent if one[0].played_at <= after(cut)]  # type: ignore[attr-defined]
    later = [one for one in sent if one not in before]
    kept = [checkpointed(before)]
    assert tally(kept, NEVER) == tally(before, NEVER)
    assert by_episode(tally([*kept, *later], NEVER)) == by_episode(tally([*before, *later], NEVER))


def by_episode(listening: Iterable[EpisodeHeard]) -> dict[str, EpisodeHeard]:
    return {of.rss_source_item: of for of in listening}


def test_a_long_import_is_not_compared_with_all_of_itself() -> None:
    looks = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return str.__eq__(self, other)

    name, many = Name(PHONE), 1_000
    heard = [Heard(name, after(10 * n + 9), n, 5, after(10 * n)) for n in range(many)]
    assert list(lacking(heard, ())) == heard
    assert looks < 10 * many
    assert list(lacking(heard, heard)) == []
    # a stretch that continues where a known one ends
    longer = [Heard(name, after(29), 2, 10, after(10))]
    assert [(one.starts_at, one.seconds) for one in lacking(longer, heard[:2])] == [(after(19), 5)]


STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=6)


@given(st.lists(STRETCHES, min_size=1, max_size=3), st.lists(PLACES, max_size=4))
def test_stretches_that_overlap_in_imports_count_once(
    imports: list[list[tuple[int, int]]], sent: list[SentEvent]
) -> None:
    """This holds in one import or in several, and whatever was heard here of the same episode."""
    history = [one for one in sent if one[0].rss_source_item == MONDAY]  # type: ignore[attr-defined]
    is_here_already = bool(history)
    moments = {after(n) for one in imports for start, long in one for n in range(start, start + long)}
    for stretches in imports:
        heard = [Heard(DESK, after(start + long), 1, long, after(start)) for start, long in stretches]
        known = next((of.heard for of in tally(history, NEVER)), ())
        new = (EpisodeHeard(NEWS, MONDAY, tuple(lacking(heard, known))),)
        history += [(event, None) for event in bring(ImportListening(user_id=ALICE, now=NOON, listening=new))]
    if not is_here_already:
        assert seconds(history) == pytest.approx(len(moments))
    counted = list(counted_once(spans(tally(history, NEVER))))
    assert all(one.ends_at <= other.starts_at for one, other in pairwise(sorted(counted)))
    assert seconds([checkpointed(history)]) == pytest.approx(seconds(history))
