"""Which acts of a listener become public, in what form, and what withdraws them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pytest_django.fixtures import Settings

from eventstore import log
from eventstore.domain.checkpoint import EventsRemoved, PublicHistoryTrimmed, UserCheckpoint
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key, feed_of_url, item_of, key_of
from eventstore.domain.messages import Event
from eventstore.domain.privacy import Level
from projections.batches import Batch
from projections.connect import LIVE_SESSION, Connection, connect
from projections.projectors.public_events import projector
from projections.worker import Worker
from tests.privacy import acts
from tests.privacy.acts import saved, shared, unsaved
from tests.projections.conftest import Project
from tests.projections.histories import (
    ALICE,
    BOB,
    FEED,
    ITEM,
    NOON,
    dump,
    minutes,
    moved,
    played,
    record,
    subscribed,
    unsubscribed,
)

pytestmark = pytest.mark.usefixtures("stores")
OTHER_FEED = feed_of_url("https://example.org/other")
SECRET_FEED = feed_of_url("https://www.patreon.com/rss/somebody?auth=1")


def level(
    to: Level | None, user: UUID = ALICE, feed: str | None = None, item: str | None = None, at: int = 0
) -> Event:
    return acts.level(to, user, feed, item, at)


def shown(connection: Connection) -> list[tuple[Any, ...]]:
    """Kind, time and listener of every public row."""
    return connection.execute(
        "SELECT kind, happened_at, user_id FROM public.public_events ORDER BY happened_at, kind, user_id"
    ).fetchall()


def ids(connection: Connection) -> list[UUID]:
    return [id_ for (id_,) in connection.execute("SELECT id FROM public.public_events ORDER BY id")]


def test_an_act_is_found_among_many_without_reading_them(project: Project) -> None:
    record(*(played(ALICE, item=item_of(f"item-{number}", "")) for number in range(300)))
    project()
    position = record(played(ALICE, item=item_of("item-7", ""), at=1))
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'activity'"
    with connect("projections", **LIVE_SESSION) as connection, connection.transaction():
        connection.execute("ANALYZE users.activity")
        worker = Worker(projector, connection)
        worker.apply(Batch(log.read_all(worker.position, 10), position))
        ((rows,),) = connection.execute(read)
    # the row to merge into, and the row to show
    assert rows <= 5


def test_of_who_has_set_nothing_nothing_is_shown(connection: Connection, project: Project) -> None:
    record(subscribed(ALICE), played(ALICE), saved(ALICE), shared(ALICE))
    project()
    assert shown(connection) == []
    assert {row[10] for row in dump(connection)["activity"]} == {"private"}


@pytest.mark.parametrize("default", ["public", "anonymous"])
def test_unless_the_instance_says_otherwise(
    connection: Connection, project: Project, settings: Settings, default: str
) -> None:
    settings.DEFAULT_PRIVACY = default
    record(played(ALICE, at=7))
    project()
    assert shown(connection) == [("play", minutes(7), ALICE) if default == "public" else ("play", NOON, None)]


def test_in_public_each_kind_is_shown_with_its_time_and_the_listener(
    connection: Connection, project: Project
) -> None:
    record(level("public"), subscribed(ALICE, at=1), played(ALICE, at=2), saved(ALICE, at=3))
    record(shared(ALICE, at=4), shared(ALICE, at=4))
    project()
    assert shown(connection) == [
        ("subscribe", minutes(1), ALICE),
        ("play", minutes(2), ALICE),
        ("save", minutes(3), ALICE),
        ("share", minutes(4), ALICE),
        ("share", minutes(4), ALICE),
    ]


def test_anonymous_rows_have_the_hour_and_nobody(connection: Connection, project: Project) -> None:
    record(level("anonymous"), subscribed(ALICE, at=1), played(ALICE, at=59), saved(ALICE, at=60))
    project()
    assert shown(connection) == [
        ("play", NOON, None),
        ("subscribe", NOON, None),
        ("save", minutes(60), None),
    ]


def test_moving_the_position_is_no_play(connection: Connection, project: Project) -> None:
    record(level("public"), moved(ALICE))
    project()
    assert shown(connection) == []


def test_playing_again_moves_the_one_row(connection: Connection, project: Project) -> None:
    record(level("public"), played(ALICE, at=1))
    project()
    record(played(ALICE, at=5), played(ALICE, at=3))
    project()
    assert shown(connection) == [("play", minutes(5), ALICE)]


def test_what_is_taken_back_goes_and_the_later_time_decides(connection: Connection, project: Project) -> None:
    record(level("public"), subscribed(ALICE, at=5), saved(ALICE, at=5))
    project()
    record(unsubscribed(ALICE, at=4), unsaved(ALICE, at=6))
    project()
    assert shown(connection) == [("subscribe", minutes(5), ALICE)]
    record(unsubscribed(ALICE, at=7), saved(ALICE, at=8))
    project()
    assert shown(connection) == [("save", minutes(8), ALICE)]


def test_an_unsubscription_that_came_first_still_counts(connection: Connection, project: Project) -> None:
    record(level("public"), unsubscribed(ALICE, at=5))
    project()
    record(subscribed(ALICE, at=4))
    project()
    assert shown(connection) == []


def test_the_same_item_of_two_feeds_is_two_episodes(connection: Connection, project: Project) -> None:
    record(level("public"), saved(ALICE, feed=FEED, at=1), saved(ALICE, feed=OTHER_FEED, at=2))
    project()
    assert shown(connection) == [("save", minutes(1), ALICE), ("save", minutes(2), ALICE)]
    record(unsaved(ALICE, feed=FEED, at=3))
    project()
    assert shown(connection) == [("save", minutes(2), ALICE)]


def identified(item: str, file: str) -> EpisodeIdentified:
    return EpisodeIdentified(
        user_id=ALICE, rss_source_feed=FEED, known_item=file, rss_source_item=item, identified_at=NOON
    )


def test_what_is_identified_is_shown_once_and_hidden_by_the_settings_of_both(
    connection: Connection, project: Project
) -> None:
    url = "https://example.org/1.mp3"
    item, file = item_of("1", url), item_of("", url)
    record(level("public"), played(ALICE, file, at=2), shared(ALICE, file, at=3), played(ALICE, item, at=1))
    project()
    assert len(shown(connection)) == 3
    record(identified(item, file))
    project()
    assert shown(connection) == [("play", minutes(2), ALICE), ("share", minutes(3), ALICE)]
    rows = connection.execute("SELECT rss_source_item, item_key FROM public.public_events").fetchall()
    assert set(rows) == {(item, UUID(episode_key(FEED, item)))}
    record(played(ALICE, file, at=4), level("private", feed=FEED, item=file, at=5), identified(item, file))
    project()
    assert shown(connection) == []


def test_a_clock_that_is_ahead_puts_nothing_in_front(connection: Connection, project: Project) -> None:
    ahead = int((datetime.now(UTC) - NOON) / timedelta(minutes=1)) + 4
    record(level("public"), played(ALICE, at=ahead))
    project()
    ((_, at, _),) = shown(connection)
    assert at <= datetime.now(UTC)


@pytest.mark.parametrize("one_batch", [True, False])
def test_of_two_acts_of_a_clock_that_is_ahead_the_later_decides_whichever_arrives_first(
    connection: Connection, project: Project, one_batch: bool
) -> None:
    """Both times are ahead of the server's, by less than is believed, which does not change their order."""
    ahead = int((datetime.now(UTC) - NOON) / timedelta(minutes=1))
    record(level("public"), subscribed(ALICE, at=ahead + 4))
    record(unsubscribed(BOB, at=ahead + 4), level("public", BOB))
    if not one_batch:
        project()
    record(unsubscribed(ALICE, at=ahead + 3), subscribed(BOB, at=ahead + 3))
    project()
    ((kind, at, user),) = shown(connection)
    assert (kind, user) == ("subscribe", ALICE)
    assert at <= datetime.now(UTC)


def test_a_change_of_level_reaches_the_past_both_ways(connection: Connection, project: Project) -> None:
    record(subscribed(ALICE, at=1), played(ALICE, at=2), played(BOB, at=2))
    project()
    expected: dict[Level, list[tuple[Any, ...]]] = {
        "public": [("subscribe", minutes(1), ALICE), ("play", minutes(2), ALICE)],
        "anonymous": [("play", NOON, None), ("subscribe", NOON, None)],
        "private": [],
    }
    way: list[Level] = ["public", "anonymous", "private", "anonymous", "public", "private", "public"]
    for at, to in enumerate(way):
        record(level(to, at=at))
        project()
        assert shown(connection) == expected[to]


def test_who_becomes_anonymous_gets_other_ids(connection: Connection, project: Project) -> None:
    record(level("public"), subscribed(ALICE), played(ALICE))
    project()
    before = ids(connection)
    record(level("anonymous", at=1))
    project()
    assert not set(before) & set(ids(connection))
    before = ids(connection)
    record(played(ALICE, at=120))
    project()
    # the row that moved has a new id, so nothing shows which one it was
    assert len(set(before) & set(ids(connection))) == 1


def test_what_is_right_already_is_left_alone(connection: Connection, project: Project) -> None:
    record(level("public"), subscribed(ALICE), played(ALICE))
    project()
    before = ids(connection)
    record(level("public", feed=FEED), played(ALICE), level(None, at=1), level("public", at=2))
    project()
    assert ids(connection) == before


def test_an_older_setting_does_not_win_and_a_tie_shows_less(connection: Connection, project: Project) -> None:
    record(played(ALICE), level("anonymous", at=5))
    project()
    record(level("public", at=4))
    project()
    assert shown(connection) == [("play", NOON, None)]
    record(level("public", at=5))
    project()
    assert shown(connection) == [("play", NOON, None)]
    record(level("private", at=5))
    project()
    assert shown(connection) == []


def test_a_secret_feed_is_never_public(connection: Connection, project: Project) -> None:
    record(level("public"), level("public", feed=SECRET_FEED), level("public", item=ITEM))
    record(subscribed(ALICE, SECRET_FEED), played(ALICE, feed=SECRET_FEED))
    project()
    assert shown(connection) == []


def test_a_checkpoint_brings_the_settings_and_leaves_what_was_done(
    connection: Connection, project: Project
) -> None:
    record(level("private"), subscribed(ALICE), played(ALICE))
    project()
    record(UserCheckpoint(user_id=ALICE, taken_at=NOON))
    record(level("public", at=1))
    project()
    assert len(shown(connection)) == 2
    record(UserCheckpoint(user_id=ALICE, taken_at=NOON))
    project()
    # without a setting, the instance's default applies
    assert shown(connection) == []


def test_a_removal_takes_the_rows_of_the_feed_the_item_or_all(
    connection: Connection, project: Project
) -> None:
    def removed(feed: str | None = None, item: str | None = None) -> Event:
        return EventsRemoved(
            user_id=ALICE,
            feed_key=None if feed is None else UUID(key_of(feed)),
            item_key=None if item is None else UUID(episode_key(FEED, item)),
            removed_at=NOON,
        )

    history = [level("public"), subscribed(ALICE), played(ALICE), played(ALICE, "MSw=", feed=OTHER_FEED)]
    record(level("public", BOB), played(BOB), *history)
    record(removed(item=ITEM))
    project()
    assert sorted(kind for kind, _, user in shown(connection) if user == ALICE) == ["play", "subscribe"]
    record(removed(feed=FEED))
    project()
    assert {(kind, user) for kind, _, user in shown(connection)} == {("play", ALICE), ("play", BOB)}
    record(removed())
    project()
    assert [(kind, user) for kind, _, user in shown(connection)] == [("play", BOB)]
    assert {row[0] for row in dump(connection)["activity"]} == {BOB}


def test_what_is_too_old_is_forgotten(connection: Connection, project: Project) -> None:
    record(level("public"), subscribed(ALICE, at=1), played(ALICE, at=5))
    record(saved(ALICE, at=2), unsaved(ALICE, at=4), played(ALICE, "MSw=", at=2))
    project()
    record(PublicHistoryTrimmed(before=minutes(3)))
    project()
    assert shown(connection) == [("play", minutes(5), ALICE)]
    # the later unsaving is kept, because an older save may still arrive
    assert {row[1] for row in dump(connection)["activity"]} == {"play", "save"}
    record(saved(ALICE, at=3))
    project()
    assert shown(connection) == [("play", minutes(5), ALICE)]
    record(PublicHistoryTrimmed(before=minutes(6)))
    project()
    assert dump(connection)["activity"] == []
    assert shown(connection) == []
