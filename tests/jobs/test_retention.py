"""The worker: old events are deleted once a checkpoint replaces them, and nothing else changes."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from uuid import UUID, uuid4

import msgspec
import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from eventstore import codec, dispatcher, log, marks
from eventstore import retention as log_retention
from eventstore.domain.checkpoint import IN_CHECKPOINT, PopularityRecalculated, PublicHistoryTrimmed
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import INSTANCE, Command, Origin
from eventstore.domain.plays import RecordPlay
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.saved import SaveEpisode, ShareEpisode
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.times import MAX_SKEW
from eventstore.retention import acknowledged_by_all, delete_superseded, oldest_event
from eventstore.streams import Streams
from jobs import retention, tasks
from jobs.retention import AlreadyRunning
from projections import public, runner
from projections.connect import connect
from projections.lag import wait_for_all
from projections.locks import try_lock
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.runner import Runner
from tests.domain.scenarios import MONDAY, NEWS, SCIENCE, TUESDAY
from tests.jobs.working import (
    dispatch_all,
    event_types,
    events,
    projectors_reach,
    read_models,
    run_projectors,
    run_worker,
    state_of,
)
from tests.projections.histories import marked
from tests.projections.running import running

pytestmark = pytest.mark.usefixtures("stores")

ALICE, BOB, CHARLIE = uuid4(), uuid4(), uuid4()
# later than every cutoff, because a checkpoint leaves out what was unsubscribed before the cutoff
NOON = datetime(2100, 6, 1, 12, tzinfo=UTC)


YEARS_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def life(user_id: UUID) -> list[Command]:
    """Return commands of several kinds for one user."""
    return [
        ChangePrivacy(user_id=user_id, level="public", now=NOON),
        Subscribe(user_id=user_id, feed=NEWS, now=NOON),
        Subscribe(user_id=user_id, feed=SCIENCE, now=NOON),
        play(user_id, 1),
        play(user_id, 2),
        SaveEpisode(user_id=user_id, feed=NEWS, item=MONDAY, now=NOON),
        ShareEpisode(user_id=user_id, feed=NEWS, item=MONDAY, now=NOON),
        Unsubscribe(user_id=user_id, feed=SCIENCE, now=NOON),
    ]


def play(user_id: UUID, position: int, item: str = MONDAY) -> RecordPlay:
    return RecordPlay(user_id=user_id, feed=NEWS, item=item, position=position, played=False, now=NOON)


def not_now(position: int) -> bool:
    """Return whether all projectors have reached ``position``, without running them: they stand still."""
    return acknowledged_by_all(PROJECTORS) >= position


def test_old_events_go_and_a_checkpoint_stands_for_them() -> None:
    dispatch_all(*life(ALICE))
    before = state_of(ALICE)
    done = run_worker()
    assert event_types(ALICE) == ["UserCheckpoint"]
    assert state_of(ALICE) == before
    assert (done.users_due, done.users_checkpointed, done.passed) == (1, 1, True)
    assert done.events_deleted >= len(life(ALICE))


def test_what_was_given_up_before_the_cutoff_is_given_up_for_good() -> None:
    long_ago = datetime(2020, 6, 1, 12, tzinfo=UTC)
    dispatch_all(*(msgspec.structs.replace(command, now=long_ago) for command in life(ALICE)))
    assert set(state_of(ALICE).subscriptions) == {NEWS, SCIENCE}
    run_worker()
    assert set(state_of(ALICE).subscriptions) == {NEWS}


def test_what_is_too_old_to_be_shown_goes_so_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TRIMMED_AT_ONCE", 2)
    long_ago = datetime(2020, 6, 1, 12, tzinfo=UTC)
    dispatch_all(
        *(ShareEpisode(user_id=ALICE, feed=NEWS, item=MONDAY, now=long_ago + timedelta(n)) for n in range(5))
    )
    run_projectors()
    left: list[int] = []

    def counted(position: int) -> bool:
        passed = projectors_reach(position)
        left.append(len(read_models()["activity"]))
        return passed

    run_worker(wait=counted)
    assert sorted(set(left), reverse=True) == [5, 3, 1, 0]


def test_what_happened_at_one_moment_goes_at_once_however_much_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TRIMMED_AT_ONCE", 1)
    now = log.database_time()
    dispatch_all(*(Subscribe(user_id=user, feed=NEWS, now=now) for user in (ALICE, BOB)))
    run_projectors()
    run_worker()
    assert read_models()["activity"] == []


def test_where_projectors_stand_still_the_next_run_goes_on_trimming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "TRIMMED_AT_ONCE", 2)
    dispatch_all(*life(ALICE))
    run_projectors()
    assert not run_worker(wait=not_now).passed
    assert read_models()["activity"]
    run_worker()
    assert read_models()["activity"] == []


def test_trimming_ends_where_nobody_trims(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the projector had set a trim aside: its position advances, but nothing is removed."""
    monkeypatch.setattr(retention, "TRIMMED_AT_ONCE", 2)
    dispatch_all(*life(ALICE))
    run_projectors()
    cutoff = log.database_time() + MAX_SKEW
    assert list(retention._trims(cutoff, lambda position: True)) == [True, True]
    last = log.read_history(log.stream_of(INSTANCE), limit=1)[0]
    assert codec.decode(last.type, last.schema, last.data) == PublicHistoryTrimmed(before=cutoff)


def test_what_is_newer_than_the_cutoff_stays() -> None:
    dispatch_all(*life(ALICE))
    cutoff = log.database_time()
    dispatch_all(play(ALICE, 5), play(ALICE, 6, TUESDAY))
    before = state_of(ALICE)
    run_worker(cutoff)
    assert event_types(ALICE) == ["PlayRecorded", "PlayRecorded", "UserCheckpoint"]
    assert state_of(ALICE) == before


def test_users_without_old_events_are_left_alone() -> None:
    cutoff = log.database_time()
    dispatch_all(*life(BOB))
    before = event_types(BOB)
    done = run_worker(cutoff)
    assert event_types(BOB) == before
    assert (done.users_due, done.events_deleted) == (0, 0)


def test_the_cutoff_is_by_the_databases_clock(settings: Settings) -> None:
    dispatch_all(*life(ALICE))
    settings.RETENTION_DAYS = 1
    done = retention.run(wait=projectors_reach)
    assert timedelta(hours=23) < log.database_time() - done.cutoff < timedelta(hours=25)
    assert done.users_due == 0
    assert len(event_types(ALICE)) > 1


def test_a_second_run_finds_nothing_to_do() -> None:
    dispatch_all(*life(ALICE), *life(BOB))
    run_worker()
    cutoff, left, rows = log.database_time(), events(), read_models()
    again = run_worker(cutoff)
    assert (again.users_due, again.events_deleted, again.figures_changed) == (0, 0, 0)
    assert events() == left
    assert read_models() == rows


def test_the_read_models_are_the_same_after_a_run_and_after_a_rebuild_from_what_is_left() -> None:
    dispatch_all(*life(ALICE), *life(BOB))
    run_projectors()
    before = read_models()
    # the cutoff is before everything that happened, so nothing is too old to be shown
    run_worker()
    after = read_models()
    mine = ("subscriptions", "play_statuses", "saved_episodes", "user_privacy", "playlists", "collections")
    assert {table: after[table] for table in mine if table in after} == {
        table: before[table] for table in mine if table in before
    }
    rebuild(list(PROJECTORS.values()))
    assert read_models() == after


def test_it_rests_after_every_checkpoint_and_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    for user_id in (ALICE, BOB):
        dispatch_all(*life(user_id))
    rests: list[float] = []
    monkeypatch.setattr("jobs.retention.time.sleep", rests.append)
    done = run_worker(chunk=5)
    chunks = -(-done.events_deleted // 5)
    assert len(rests) >= done.users_checkpointed + chunks
    assert min(rests) > 0


def test_nothing_goes_that_a_projector_has_not_applied() -> None:
    dispatch_all(*life(ALICE))
    run_projectors()
    before = events()
    done = run_worker(wait=not_now)
    assert not done.passed
    assert done.events_deleted == 0
    assert events() >= before
    run_projectors()
    done = run_worker(wait=not_now)
    # by now all projectors have passed the checkpoint, which is no longer new
    assert done.events_deleted > 0


def test_nothing_goes_while_one_projector_has_never_run() -> None:
    dispatch_all(*life(ALICE))
    run_projectors()
    with connections["events"].cursor() as cursor:
        cursor.execute("DELETE FROM events.projection_versions WHERE projector = 'plays'")
    assert run_worker(wait=not_now).events_deleted == 0


def test_events_of_types_that_no_checkpoint_carries_are_never_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dispatch_all(*life(ALICE))
    monkeypatch.setattr(retention, "IN_CHECKPOINT", IN_CHECKPOINT - {codec.EVENTS["PlayRecorded"][0]})
    run_worker()
    assert event_types(ALICE) == ["PlayRecorded", "PlayRecorded", "UserCheckpoint"]


def test_a_stream_that_cannot_be_read_keeps_everything_and_holds_up_nobody() -> None:
    dispatch_all(*life(ALICE), *life(BOB))
    before = event_types(ALICE)
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
            " VALUES (%s, %s, 'UserSang', 1, '{}', '{}')",
            [log.stream_of(ALICE), len(before) + 1],
        )
    dispatcher.clear_cache()
    done = run_worker(wait=not_now)
    assert (done.users_due, done.users_checkpointed) == (2, 1)
    assert event_types(ALICE) == [*before, "UserSang"]


def test_a_process_that_was_behind_goes_on_from_the_checkpoint() -> None:
    dispatch_all(*life(ALICE))
    other = Streams()
    with patch.object(dispatcher, "_streams", other):
        dispatch_all(play(ALICE, 2))
    dispatch_all(play(ALICE, 3), play(ALICE, 4))
    run_worker()
    with patch.object(dispatcher, "_streams", other):
        dispatch_all(play(ALICE, 5))
    assert state_of(ALICE).plays[episode_key(NEWS, MONDAY)].position == 5


def test_what_is_kept_beside_the_log_is_pruned_with_it() -> None:
    dispatch_all(*life(ALICE))
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.snapshots")
        [(before,)] = cursor.fetchall()
        run_worker()
        cursor.execute("SELECT count(*) FROM events.snapshots")
        assert cursor.fetchall()[0][0] <= before
    state_of(ALICE)


def test_of_two_at_a_time_one_works_and_the_other_says_so_and_leaves() -> None:
    with connect("events") as first:
        assert try_lock(first, retention.LOCK)
        with pytest.raises(AlreadyRunning):
            run_worker()
        tasks.run_worker()  # reports it, and returns
    run_worker()


def test_the_instances_stream_keeps_what_a_rebuild_needs() -> None:
    def figures(score: int, feed: str = NEWS) -> PopularityRecalculated:
        return PopularityRecalculated(rss_source_feed=feed, score=score, plays=score)

    def trimmed(days: int) -> PublicHistoryTrimmed:
        return PublicHistoryTrimmed(before=datetime.fromisoformat("2020-01-01T00:00:00Z") + timedelta(days))

    log.append_to_instance([figures(5), figures(3, SCIENCE), trimmed(1), trimmed(3), figures(7)])
    log.append_to_instance([figures(0, SCIENCE), trimmed(2), trimmed(2)])
    passed = run_projectors()
    assert delete_superseded(passed) == 5
    left = log.read_stream(log.stream_of(INSTANCE))
    decoded = [codec.decode(row.type, row.schema, row.data) for row in left]
    assert decoded == [trimmed(3), figures(7), trimmed(2)]
    assert delete_superseded(passed) == 0


def test_of_the_marks_of_feeds_those_stay_that_block() -> None:
    of_publisher, again = marked(NEWS, by="publisher"), marked(SCIENCE, at=2)
    log.append_to_instance([marked(NEWS), of_publisher, marked(SCIENCE), marked(SCIENCE, False, at=1)])
    log.append_to_instance([marked(NEWS, False), again, marked()])
    last = log.append_to_instance([marked(blocked=False)])
    run_projectors()
    assert delete_superseded(last - 1) == 4
    assert delete_superseded(last) == 1
    left = log.read_stream(log.stream_of(INSTANCE))
    decoded = [codec.decode(row.type, row.schema, row.data) for row in left]
    assert decoded == [of_publisher, again, marked(blocked=False)], "the last one, for as long as it is that"
    blocked = [mark for mark in marks.feed_marks() if mark.blocked]
    assert sorted(blocked, key=lambda mark: mark.marked_at) == [of_publisher, again]


def test_a_block_outlives_the_worker_and_a_rebuild() -> None:
    dispatch_all(*life(ALICE))
    marks.mark(NEWS, "publisher", NOON, blocked=True)
    run_worker()
    run_worker()
    dispatch_all(play(ALICE, 3))
    run_projectors()
    assert public.timeline(10) == ([], None)
    before = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == before
    marks.mark(NEWS, "publisher", NOON, blocked=False)
    run_projectors()
    assert public.timeline(10)[0]


def test_a_run_tells_what_it_did() -> None:
    dispatch_all(*life(ALICE))
    lines: list[str] = []
    done = run_worker(say=lines.append)
    last_run = retention.last_run()
    assert last_run == done
    assert list(done.seconds) == ["due", "checkpoint", "project", "popularity", "delete"]
    assert done.finished_at is not None
    assert done.oldest_event == oldest_event()


def test_a_stream_that_has_grown_by_much_gets_a_checkpoint() -> None:
    dispatch_all(*life(ALICE))
    stream, recorded = log.stream_of(ALICE), len(event_types(ALICE))
    log_retention.note_growth(stream, recorded)
    assert run_worker(YEARS_AGO).users_checkpointed == 0
    log_retention.note_growth(stream, recorded - 1)
    assert run_worker(YEARS_AGO).users_checkpointed == 1
    assert event_types(ALICE)[-1] == "UserCheckpoint"
    log_retention.note_growth(stream, 0)
    assert run_worker(YEARS_AGO).users_checkpointed == 0


def test_commands_are_decided_on_the_checkpoint_as_on_the_events() -> None:
    dispatch_all(*life(ALICE))
    run_worker()
    dispatcher.clear_cache()
    assert dispatcher.dispatch(Subscribe(user_id=ALICE, feed=NEWS, now=NOON), Origin()).events == []
    outcome = dispatcher.dispatch(play(ALICE, 50, TUESDAY), Origin())
    assert [type(event).__name__ for event in outcome.events] == ["PlayRecorded"]


def test_a_dead_letter_holds_back_deletions_but_neither_checkpoints_nor_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dispatch_all(*life(ALICE), *life(BOB))
    monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.02)
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
            " VALUES (%s, %s, 'UserSang', 1, '{}', '{}')",
            [log.stream_of(ALICE), len(event_types(ALICE)) + 1],
        )
    dispatch_all(*life(CHARLIE))
    before = event_types(BOB)
    with running(Runner()):
        done = retention.run(datetime(2020, 1, 1, tzinfo=UTC), wait=wait_for_all)
        assert done.passed
        assert done.figures_changed > 0
        again = retention.run(log.database_time(), wait=wait_for_all)
    assert again.passed
    assert again.users_checkpointed == 2
    assert event_types(BOB) == [*before, "UserCheckpoint"]
