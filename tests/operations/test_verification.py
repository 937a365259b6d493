"""verify finds every kind of damage, shows no value, and reports nothing about a busy instance."""

import io
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from accounts import erasure
from accounts.models import User
from eventstore import administration, log, marks
from eventstore.domain.devices import RegisterDevice
from eventstore.domain.episode_actions import RecordEpisodeAction
from eventstore.domain.held_removals import HoldRemoval
from eventstore.domain.settings import ChangeSettings
from eventstore.domain.subscriptions import Subscribe
from eventstore.retention import acknowledge
from jobs import retention
from operations import verification
from operations.verification import Report, verify
from projections import comparison, deadletters, rebuild
from projections.connect import Connection, connect
from projections.erasure import erase_history
from projections.projectors import PROJECTORS
from projections.runner import Runner
from projections.shadows import shadow_of
from tests.api.devices import Device, feed, item, url_safe
from tests.api.test_removals import live
from tests.apps import App
from tests.domain.scenarios import NOON
from tests.factories import UserFactory
from tests.jobs.working import dispatch_all, projectors_reach, run_projectors
from tests.projections.histories import ALICE, BOB, moved, played, record, record_raw, subscribed
from tests.projections.running import running

TABLES = [
    table for projector in PROJECTORS.values() for table in projector.tables if table not in projector.queues
]
# the assignment that damages each table: one column and its new value
CHANGED = {
    "users.subscriptions": "subscribed_at = '2001-01-01Z'",
    "users.play_statuses": "position = position + 1",
    "users.saved_episodes": "saved_at = '2001-01-01Z'",
    "users.playlists": "name = 'geheim'",
    "users.playlist_items": "item_title = 'geheim'",
    "users.collections": "color = '#ff0000'",
    "users.collection_feeds": "added_at = '2001-01-01Z'",
    "users.user_privacy": "level = 'private'",
    "users.devices": "caption = 'geheim'",
    "users.episode_actions": "action = 'geheim'",
    "users.settings": "settings = '{}'",
    "users.held_removals": "device = 'geheim'",
    "users.listening": "device = 'geheim'",
    "users.activity": "secret = NOT secret",
    "users.activity_levels": "level = 'private'",
    "users.blocked_feeds": "operator_since = '2001-01-01Z'",
    "public.public_events": "happened_at = '2001-01-01Z'",
    "public.podcast_popularity": "score = score + 1",
    "public.episode_popularity": "likes = likes + 1",
}
KEYS = {
    "users.blocked_feeds": "feed_key",
    "public.public_events": "id",
    "public.podcast_popularity": "feed_key",
    "public.episode_popularity": "item_key",
}


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAUSE_BETWEEN_LOOKS", 0)
    monkeypatch.setattr(comparison, "PATIENCE", 0.2)


@pytest.fixture
def connection(stores: None) -> Iterator[Connection]:
    with connect("projections") as connection:
        yield connection


@pytest.fixture
def history(alice: User) -> User:
    """Fill every table, and include figures that changed."""
    App().grant(alice)
    device = Device(alice.pk)
    live(device, feed(7), (item(71), item(72)))
    run_projectors()
    retention.run(wait=projectors_reach)
    shared = device.post(f"episodes/{url_safe(item(71))}/share", {"rss_source_feed": feed(7)})
    assert shared.status_code == 200
    record(subscribed(BOB))
    marks.mark(feed(8), "operator", NOON, blocked=True)
    order: dict[str, Any] = {"user_id": alice.pk, "now": NOON}
    dispatch_all(
        RegisterDevice(device="phone", caption="Phone", **order),
        RecordEpisodeAction(feed=feed(7), item=item(71), action="download", **order),
        ChangeSettings(device="phone", set={"theme": "dark"}, **order),
        HoldRemoval(feed=feed(7), device="phone", **order),
    )
    run_projectors()
    retention.run(wait=projectors_reach)
    run_projectors()
    return alice


def verified() -> Report:
    return verify(io.StringIO())


def damage_log(statement: str, *values: Any) -> None:
    """Run a statement with the triggers off, as no program of ours would."""
    with connections["events"].cursor() as cursor:
        cursor.execute("BEGIN")
        # not with ALTER TABLE: ENABLE TRIGGER ALL would close a store that had been in maintenance before
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, values)
        cursor.execute("COMMIT")


def scratch_tables(connection: Connection) -> list[str]:
    found = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE '%\\_\\_rebuild'").fetchall()
    return [name for (name,) in found]


# -- healthy


@pytest.mark.topology
def test_what_is_as_it_should_be_is_left_alone(history: User, connection: Connection) -> None:
    filled = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES]
    assert (0,) not in filled, "or it proves nothing"
    report = verified()
    assert list(verification.lines(report)) == []
    assert report.positions == dict.fromkeys(PROJECTORS, log.head())
    assert scratch_tables(connection) == []
    assert deadletters.letters(connection) == []
    assert "Everything agrees, up to position" in run_verify()


@pytest.mark.usefixtures("stores")
def test_read_models_that_are_behind_agree_as_far_as_they_have_come() -> None:
    record(subscribed(ALICE))
    run_projectors()
    head = record(played(ALICE))
    line = verification.clean_line(verify(io.StringIO()))
    assert f"sound up to position {head}, and the read models agree with it as far as they have come" in line
    assert "plays" in line


def test_what_a_restore_has_left_out_is_not_told_as_read(history: User) -> None:
    administration.begin_epoch(0)
    log.clear_caches()
    record(subscribed(ALICE))
    run_projectors()
    assert log.head() > administration.RESTORE_GAP
    progress = re.findall(r"^(\w+) events: ([\d,]+) of ([\d,]+) events", run_verify(), re.MULTILINE)
    assert [what for what, *_ in progress] == ["Reading", "Folding"]
    for _, done, total in progress:
        assert done == total
        assert int(total.replace(",", "")) < 1_000


def run_verify(*arguments: str) -> str:
    out = io.StringIO()
    call_command("verify", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_a_busy_instance_is_clean_after_a_rebuild_and_beside_an_erasure(
    history: User, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PATIENCE", 20)
    stop = threading.Event()
    reports: list[Report] = []
    charlie = UserFactory.create(username="charlie")
    dispatch_all(Subscribe(user_id=charlie.pk, feed=feed(), now=NOON))

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            record(played(BOB, item(number % 50), position=number, at=number), moved(ALICE, position=number))
        connections.close_all()

    with running(Runner()):
        writer = threading.Thread(target=write)
        writer.start()
        reports.append(verified())
        rebuild.rebuild(list(PROJECTORS.values()))
        reports.append(verified())
        erasure.begin(charlie.pk, NOON)
        erasure.complete(charlie.pk, erase_history)
        reports.append(verified())
        stop.set()
        writer.join()
    assert [list(verification.lines(report)) for report in reports] == [[], [], []]
    assert scratch_tables(connection) == []


# -- read models


def test_rows_that_are_not_the_same_are_named_in_every_table(history: User, connection: Connection) -> None:
    for table, change in CHANGED.items():
        connection.execute(f"UPDATE {table} SET {change}")
    report = verified()
    assert set(report.rows) == set(TABLES)
    for row in report.differences:
        assert row.kind == "differs"
        assert row.columns == [CHANGED[row.table].split(" ")[0]]


@pytest.mark.topology
def test_rows_that_are_missing_are_named_in_every_table(history: User, connection: Connection) -> None:
    for table in TABLES:
        if table != "users.activity":  # public rows are found by this table
            connection.execute(f"DELETE FROM {table}")
    report = verified()
    assert set(report.rows) == {*TABLES} - {"users.activity"}
    assert {row.kind for row in report.differences} == {"missing"}


def test_rows_that_nobody_made_are_named_in_every_table(history: User, connection: Connection) -> None:
    for table in TABLES:
        key = KEYS.get(table, "user_id")
        connection.execute(
            f"INSERT INTO {table} SELECT made.* FROM (SELECT * FROM {table} LIMIT 1) one,"
            f" jsonb_populate_record(NULL::{table},"
            f" to_jsonb(one) || jsonb_build_object('{key}', gen_random_uuid())) made"
        )
    report = verified()
    assert set(report.rows) == set(TABLES)
    assert {row.kind for row in report.differences} == {"extra"}


def test_an_activity_that_vanished_leaves_its_public_row_to_nobody(
    history: User, connection: Connection
) -> None:
    connection.execute("DELETE FROM users.activity")
    kinds = {(row.table, row.kind) for row in verified().differences}
    assert kinds == {
        ("users.activity", "missing"),
        ("public.public_events", "missing"),
        ("public.public_events", "extra"),
    }


def test_no_value_is_told_and_the_same_row_has_the_same_name_every_time(
    history: User, connection: Connection
) -> None:
    connection.execute("UPDATE users.playlists SET name = 'geheim'")
    connection.execute("DELETE FROM users.subscriptions")
    lines = [list(verification.lines(verified())) for _ in range(2)]
    assert lines[0] == lines[1]
    text = "\n".join(lines[0])
    assert "differs in name" in text
    for word in ("geheim", "Walks", feed(7), str(history.pk), history.pk.hex):
        assert word not in text
    with pytest.raises(CommandError, match="findings"):
        run_verify()


def test_a_table_that_was_altered_is_told_and_not_compared(history: User, connection: Connection) -> None:
    connection.execute("ALTER TABLE users.subscriptions ADD extra integer")
    try:
        report = verified()
    finally:
        connection.execute("ALTER TABLE users.subscriptions DROP extra")
    assert report.damaged == {"users.subscriptions": "column extra"}
    assert report.rows == {}


# -- the log


def test_a_payload_that_is_broken_is_found_at_its_position(history: User) -> None:
    good = record(played(BOB, at=1))
    run_projectors()
    damage_log("""UPDATE events.events SET data = '{"position": "geheim"}' WHERE position = %s""", good)
    unknown = record_raw(BOB, "FromTheFuture")
    newer = record_raw(BOB, "PlayRecorded", schema=9)
    report = verified()
    faults = {fault.position: fault.what for fault in report.log}
    assert set(faults) == {good, unknown, newer}
    assert faults[good].startswith("UndecodableEvent: PlayRecorded v1")
    assert faults[unknown] == "UnknownEvent: unknown event type FromTheFuture"
    assert "newer than this program" in faults[newer]
    assert "geheim" not in "\n".join(verification.lines(report))


def test_metadata_that_is_broken_and_an_event_of_somebody_else_are_found(history: User) -> None:
    metadata, other = record(played(BOB, at=1)), record(played(BOB, at=2))
    run_projectors()
    damage_log("""UPDATE events.events SET metadata = '{"app_id": 1}' WHERE position = %s""", metadata)
    damage_log(
        "UPDATE events.events SET data = jsonb_set(data, '{user_id}', to_jsonb(%s::text))"
        " WHERE position = %s",
        str(ALICE),
        other,
    )
    faults = {fault.position: fault.what for fault in verified().log}
    assert set(faults) == {metadata, other}
    assert "metadata" in faults[metadata]
    assert faults[other] == "PlayRecorded of another listener than its stream"


def test_versions_that_are_missing_or_out_of_order_are_found(history: User) -> None:
    first, second, third = (record(played(BOB, at=n)) for n in range(3))
    record(*(subscribed(ALICE, feed(number)) for number in range(3)))
    run_projectors()
    damage_log("DELETE FROM events.events WHERE position = %s", second)
    bob, alice = log.stream_of(BOB), log.stream_of(ALICE)
    damage_log("UPDATE events.events SET version = version + 100 WHERE stream = %s AND version = 1", alice)
    damage_log("UPDATE events.events SET version = 1 WHERE stream = %s AND version = 3", alice)
    damage_log("UPDATE events.events SET stream = 4711, version = 1 WHERE position = %s", first)
    faults = {(fault.kind, fault.stream) for fault in verified().log}
    assert {("gap", bob), ("order", alice), ("unknown", 4711)} <= faults
    assert third


def test_what_retention_and_removals_take_out_is_no_gap(history: User) -> None:
    Device(history.pk).post("removals", {"rss_source_feed": feed(7)})
    run_projectors()
    retention.run(log.database_time(), wait=projectors_reach)
    run_projectors()
    assert list(verification.lines(verified())) == []


def test_dead_letters_and_acknowledgements_that_lie_are_told(history: User, connection: Connection) -> None:
    head = log.head()
    acknowledge({"playlists": head + 5})
    connection.execute(deadletters.INSERT, ["saved", head, 1, 1, "EpisodeSaved", "once", 1])
    report = verified()
    assert [(one.projector, one.failed, one.behind) for one in report.dead_letters] == [("saved", 1, 0)]
    assert [(one.projector, one.acknowledged, one.applied) for one in report.acknowledgements] == [
        ("playlists", head + 5, head),
        ("saved", head, head - 1),
    ]


# -- by itself, and concurrently


def test_what_a_killed_one_left_goes_with_the_next(history: User, connection: Connection) -> None:
    connection.execute(f"CREATE TABLE {shadow_of('users.subscriptions')} (left_over integer)")
    assert not verified().findings
    assert scratch_tables(connection) == []


def test_two_at_once_are_refused(history: User) -> None:
    with (
        rebuild.fresh_tables([PROJECTORS["subscriptions"]], "balados-verify"),
        pytest.raises(CommandError, match="Another verification, or a rebuild, is running"),
    ):
        run_verify()


def test_an_erasure_leaves_nothing_in_the_scratch_tables(history: User, connection: Connection) -> None:
    with rebuild.fresh_tables(list(PROJECTORS.values()), "balados-verify") as workers:
        comparison.fill(workers, lambda done, total: None)
        erasure.begin(history.pk, NOON)
        erasure.complete(history.pk, erase_history)
        for projector in PROJECTORS.values():
            for table in projector.tables:
                found = connection.execute(
                    f"SELECT count(*) FROM {shadow_of(table)} t WHERE t::text LIKE %s",
                    [f"%{history.pk}%"],
                ).fetchone()
                assert found == (0,), table
        run_projectors()
        assert not any(comparison.compare(worker).counts for worker in workers)


@pytest.mark.usefixtures("stores")
def test_for_programs_it_prints_an_object_alone() -> None:
    assert json.loads(run_verify("--json"))["clean"] is True


# -- what commands are decided on: the snapshots


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM events.snapshots WHERE topic = 'plays'",
        "UPDATE events.snapshots SET state = replace(state, '\"position\":', '\"position\":1')",
        "UPDATE events.snapshots SET key = gen_random_uuid() WHERE topic = 'plays'",
        "UPDATE events.snapshots SET state = 'geheim' WHERE topic = 'plays'",
    ],
)
def test_entries_that_are_not_what_the_log_says_are_found_and_made_anew(
    history: User, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified().log == []
    damage_log(damage)
    report = verified()
    assert {fault.kind for fault in report.log} == {"entry"}
    assert "geheim" not in "".join(verification.lines(report))
    call_command("rebuild_state", user=history.username)
    assert capsys.readouterr().out == "Folded anew: 1 of 1 listeners.\n"
    assert verified().log == []
    with pytest.raises(CommandError, match="No such user: nobody"):
        call_command("rebuild_state", user="nobody")
    record_raw(history.pk, "FromTheFuture")
    with pytest.raises(CommandError, match="1 could not be read"):
        call_command("rebuild_state")
