"""What a backup contains, what counts as a backup, and what a restore does with it."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts import erasure, ledger
from accounts.models import ErasedAccount, User
from eventstore import log, retention
from eventstore.dispatcher import dispatch
from eventstore.domain.messages import Origin
from eventstore.domain.plays import PlayEntry
from eventstore.domain.sync import SyncUserData
from eventstore.erasure import digest_of, tombstone_stream, tombstoned_with_events
from operations import backup, offline, reset, stores
from projections.erasure import erase_history
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from tests.api.devices import Device, document, feed, item, play, status
from tests.apps import App
from tests.conftest import STORES, clear_caches
from tests.factories import UserFactory
from tests.jobs.working import event_types, read_models, run_projectors
from tests.killing import killed_at
from tests.operations.living import Life, here, life
from tests.operations.operating import Operator, drop, urls_on
from tests.projections.running import end_sessions
from tests.searching import found
from web import readiness

__all__ = ["here", "life"]  # fixtures

ONE = pytest.mark.parametrize("topology", ["one"], indirect=True)
KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """The directory in which backups are kept."""
    return tmp_path / "backups"


@pytest.fixture
def empty_place(operator: Operator, topology: str) -> Iterator[dict[str, str]]:
    """URLs of databases that do not exist yet, on the same server."""
    urls = urls_on(os.environ["DATABASE_URL"], f"balados_{uuid4().hex[:8]}", three=topology == "three")
    yield urls
    drop(urls)


@pytest.fixture(autouse=True)
def _without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "API_FAILURES_PER_MINUTE", 0)


def listener(name: str = "alice") -> Device:
    user = UserFactory.create(username=name)
    App().grant(user)
    return Device(user.pk, device_id=f"phone of {name}")


def back_up(backups: Path, *options: str, store: str = "all") -> str:
    return called("store_backup", "--store", store, "--to", str(backups), *options)


def restore_stores(backups: Path, *options: str, store: str = "all") -> str:
    return called("store_restore", "--store", store, "--from", str(backups), *options)


def called(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str, code: int = 1) -> str:
    with pytest.raises(CommandError) as raised:
        called(*arguments)
    assert raised.value.returncode == code
    return str(raised.value)


def lose(*aliases: str) -> None:
    """Drop these stores' schemas, as if their disk had been lost."""
    for alias in aliases:
        connections[alias].close()
        connections[alias].close_pool()  # type: ignore[attr-defined]
        with psycopg.connect(**stores.parameters(alias), autocommit=True) as connection:
            for schema in stores.SCHEMAS[alias]:
                connection.execute(f"DROP SCHEMA {schema} CASCADE")
    clear_caches()


def erase(user_id: UUID) -> None:
    erasure.begin(user_id, timezone.now())
    erasure.complete(user_id, erase_history)


def rows(alias: str, statement: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_what_is_restored_elsewhere_is_what_was_backed_up(
    here: Operator, life: Life, backups: Path, empty_place: dict[str, str]
) -> None:
    phone = listener()
    now = datetime.now(UTC).isoformat()
    phone.sync(play_statuses=[status(number, now) for number in range(20)])
    run_projectors()
    models, events = read_models(), log.read_stream(log.stream_of(phone.user_id))
    back_up(backups)
    with life.at(empty_place, home=backups / "another machine"):
        output = restore_stores(backups)
        assert output.count("tables hold what the manifest says, row by row") == 2
        assert log.read_stream(log.stream_of(phone.user_id)) == events
        run_projectors()
        assert read_models() == models
        assert phone.get("me").status_code == 200
        assert set(readiness.checks().values()) == {"ok"}


@ONE
def test_the_restored_instance_goes_on_and_gives_no_position_a_second_meaning(
    here: Operator, backups: Path
) -> None:
    phone = listener()
    tablet = Device(phone.user_id, device_id="tablet")
    before = document(phone.post("plays", play(1), Idempotency_Key=KEY))
    old = phone.sync()["cursor"]
    back_up(backups)
    for number in (2, 3):  # these will be lost
        given = phone.post("plays", play(number))["Balados-Position"]
    later = phone.sync()["cursor"]
    run_projectors()
    rows("projections", "UPDATE users.projector_positions SET parked = true RETURNING 1")
    lose("events")
    restore_stores(backups, store="events")

    assert [row["rss_source_item"] for row in document(phone.get("plays"))["play_statuses"]] == [item(1)]
    acknowledged = retention.acknowledged()
    assert acknowledged == dict.fromkeys(PROJECTORS, log.head()), "of the rebuilt read models"
    assert rows("projections", "SELECT parked FROM users.projector_positions WHERE parked") == []
    assert phone.get("plays", Balados_Position=given).status_code == 200, "of a write that is lost"
    again = phone.post("plays", play(1), Idempotency_Key=KEY)
    assert document(again) == before
    assert event_types(phone.user_id).count("PlayRecorded") == 1
    for number in (4, 5, 6):  # the versions of the lost events are used again
        written = tablet.post("plays", play(number))
        assert int(written["Balados-Position"]) > int(given) + 1_000_000
    for cursor in (old, later):
        answer = phone.sync(cursor)
        assert answer["full"]
        assert {row["rss_source_item"] for row in answer["data"]["play_statuses"]} == {
            item(number) for number in (1, 4, 5, 6)
        }
    assert not phone.sync(answer["cursor"])["full"]
    run_projectors()
    live = read_models()
    reports: list[tuple[int, int]] = []
    rebuild(list(PROJECTORS.values()), lambda done, total: reports.append((done, total)))
    assert reports[-1] == (len(event_types(phone.user_id)) + 1, len(event_types(phone.user_id)) + 1), (
        "not in leaps"
    )
    assert read_models() == live


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_a_backup_under_load_is_restored_on_an_empty_host(
    here: Operator, life: Life, backups: Path, other_server: str
) -> None:
    users = [uuid4() for _ in range(4)]
    acknowledged: list[tuple[UUID, int]] = []
    stop, enough = threading.Event(), threading.Event()

    def write(user_id: UUID) -> None:
        number = 0
        try:
            while not stop.is_set():
                entries = [entry(number * 5 + each) for each in range(5)]
                now = datetime.now(UTC)
                dispatch(SyncUserData(user_id=user_id, now=now, play_statuses=entries), Origin())
                acknowledged.append((user_id, number))
                number += 1
                if number == 5:
                    enough.set()
        finally:
            connections.close_all()

    doomed = listener("charlie")
    doomed.post("plays", play())
    writers = [threading.Thread(target=write, args=[user]) for user in users]
    for writer in writers:
        writer.start()
    assert enough.wait(30)
    before = list(acknowledged)
    back_up(backups)
    stop.set()
    for writer in writers:
        writer.join(30)
    assert len(acknowledged) > len(before), "or there was no load"
    erase(doomed.user_id)
    assert int(rows("events", "SELECT pg_current_xact_id()::text")[0][0]) > 1_000

    home = backups / "new host"
    with life.at(urls_on(other_server, "balados", three=True), home):
        restore_stores(backups, "--erasures", str(life.home / "erasures"))
        for user_id in users:
            kept = log.read_stream(log.stream_of(user_id))
            assert [row.version for row in kept] == list(range(1, len(kept) + 1))
            numbers = {json.loads(row.data)["position"] for row in kept if row.type == "PlayRecorded"}
            promised = {number for user, number in before if user == user_id}
            assert {number // 5 for number in numbers} >= promised
            assert len(numbers) % 5 == 0, "whole commands or none"
        dispatch(SyncUserData(user_id=users[0], now=datetime.now(UTC), play_statuses=[entry(9)]), Origin())
        run_projectors()
        live = read_models()
        assert len(live["play_statuses"]) >= 5 * len(before)
        rebuild(list(PROJECTORS.values()))
        assert read_models() == live
        assert found(str(doomed.user_id), "charlie") == []


def entry(number: int) -> PlayEntry:
    return PlayEntry(
        rss_source_feed=feed(),
        rss_source_item=item(number),
        position=number,
        played=False,
        updated_at=datetime(2026, 5, 1, tzinfo=UTC),
    )


@ONE
def test_who_was_erased_after_the_backup_stays_erased_whatever_is_lost(
    here: Operator, backups: Path, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = listener("aliceandra"), listener("bob")
    for device in (alice, bob):
        device.sync(play_statuses=[status(1), status(2)])
    back_up(backups)
    erase(alice.user_id)
    run_projectors()
    for lost in ("events", "system", "everything but another backup"):
        if lost in STORES:
            lose(lost)
            output = restore_stores(backups, store=lost)
        else:
            back_up(backups, store="erasures")
            shutil.rmtree(life.home)
            lose("events", "system")
            monkeypatch.chdir(next(backups.glob("events-*")))  # its neighbours are found from there, too
            output = restore_stores(Path("."), store="events")
            output = restore_stores(backups, store="system")
        assert "1 of 1 accounts known to be erased were in it, and are erased again" in output
        run_projectors()
        assert found(str(alice.user_id), alice.user_id.hex, "aliceandra") == []
        assert alice.get("me").status_code == 401
        assert len(bob.sync()["data"]["play_statuses"]) == 2
        assert ledger.recorded() == ledger.read(life.home / "erasures") == {digest_of(alice.user_id)}


@ONE
def test_sessions_half_an_erasure_and_accounts_that_came_later_are_not_brought_back(
    here: Operator, backups: Path
) -> None:
    alice = listener()
    alice.post("plays", play())
    tombstone_stream(alice.user_id)  # the erasure is killed here
    stolen = "INSERT INTO system.sessions (session_key, session_data, expire_date, device)"
    rows("system", f"{stolen} VALUES ('stolen', 'x', now() + '1 day', '') RETURNING 1")
    back_up(backups)
    erase(alice.user_id)
    listener("bob").post("plays", play(2))
    lose("system")
    assert "1 listeners have events and no account" in restore_stores(backups, store="system")
    assert rows("system", "SELECT * FROM system.sessions") == []
    lose("events")
    restore_stores(backups, store="events")
    assert tombstoned_with_events() == []
    assert found(feed()) == []


@ONE
def test_a_restore_that_was_killed_serves_nobody_and_is_begun_anew(here: Operator, backups: Path) -> None:
    alice, bob = listener("aliceandra"), listener("bob")
    for device in (alice, bob):
        device.sync(play_statuses=[status(1)])
    back_up(backups)
    erase(alice.user_id)
    lose("events", "system")
    for point in ("emptied", "loaded", "renumbered", "reapplied", "erased"):
        killed_at(point, lambda: restore_stores(backups))
        assert "has not ended" in refused("db_init"), point
        if point not in ("emptied", "loaded"):
            assert readiness.checks()["events"] == "being restored"
    restore_stores(backups)
    run_projectors()
    assert set(readiness.checks().values()) == {"ok"}
    assert found(str(alice.user_id), "aliceandra") == []
    assert len(bob.sync()["data"]["play_statuses"]) == 1


@ONE
def test_what_cannot_be_restored_is_refused_and_nothing_is_touched(
    here: Operator, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = listener()
    back_up(backups)
    phone.post("plays", play())
    before = event_types(phone.user_id)
    for name in ("events", "system", "all"):
        output = refused("store_restore", "--store", name, "--from", str(backups))
        assert "is not empty" in output
        assert "db_reset --" in output
        assert "Nothing was touched" in output
    assert event_types(phone.user_id) == before

    lose("events")
    monkeypatch.setattr(offline, "SECONDS_TO_LEAVE", 0.1)
    url = {**stores.parameters("events"), "application_name": "balados-projector"}
    with psycopg.connect(**url):
        assert "stop the web" in refused("store_restore", "--store", "events", "--from", str(backups))
    monkeypatch.undo()
    manifest = next(backups.glob("events-*/manifest.json"))
    own = manifest.read_text()
    newer = json.loads(own)
    newer["migrations"].append(["eventstore", "9999_of_tomorrow"])
    manifest.write_text(json.dumps(newer))
    output = refused("store_restore", "--store", "events", "--from", str(backups))
    assert "eventstore.9999_of_tomorrow" in output
    newer = json.loads(own)
    newer["major"] = 99
    manifest.write_text(json.dumps(newer))
    assert "of version 99 or newer" in refused("store_restore", "--store", "events", "--from", str(backups))
    manifest.write_text(own)
    called("maintenance", "on", "--store", "system")  # the restore writes to that store as well
    assert "in maintenance" in refused("store_restore", "--store", "events", "--from", str(backups))
    called("maintenance", "off", "--store", "system")
    assert rows("events", "SELECT to_regclass('events.events')") == [(None,)]
    restore_stores(backups, store="events")


@ONE
@pytest.mark.parametrize("what", ["events", "all"])
def test_a_store_that_was_reset_is_filled_and_one_in_use_since_then_is_not(
    here: Operator, backups: Path, what: reset.What
) -> None:
    alice, bob = listener(), listener("bob")
    for phone in (alice, bob):
        phone.sync(play_statuses=[status(1)])
    back_up(backups)
    reset.run(what, {}, StringIO())
    if what == "events":
        bob.post("plays", play(2))
        assert "events.events: 1)" in refused("store_restore", "--store", "events", "--from", str(backups))
        reset.run(what, {}, StringIO())
    restore_stores(backups, store=what)
    assert event_types(alice.user_id) == event_types(bob.user_id) == ["PlayRecorded"]
    assert len(bob.sync()["data"]["play_statuses"]) == 1


@ONE
def test_what_was_closed_when_it_was_copied_is_open_when_it_is_restored(
    here: Operator, backups: Path, life: Life
) -> None:
    phone, erased = listener(), listener("bob")
    for device in (phone, erased):
        device.post("plays", play(1))
    for alias in ("system", "events"):
        called("maintenance", "on", "--store", alias)
    back_up(backups)
    lose("events", "system")
    restore_stores(backups)
    assert_open(phone)

    with here.connect("events") as connection:  # as in a copy of a move's new place
        stores.write_note(connection, "events", stores.Note("filling"))
        assert "was being filled" in refused("store_restore", "--store", "all", "--in-place")
        stores.write_note(connection, "events", None)

    for alias in ("system", "events"):
        called("maintenance", "on", "--store", alias)
    ledger.append(life.home / "erasures", {digest_of(erased.user_id)})
    output = called("store_restore", "--store", "all", "--in-place")
    assert "1 of 1 accounts known to be erased were in it" in output
    assert [user.pk for user in User.objects.all()] == [phone.user_id]
    assert_open(phone)


def assert_open(phone: Device) -> None:
    assert phone.post("plays", play(2)).status_code == 200
    assert User.objects.update(date_joined=timezone.now()) > 0
    assert called("maintenance", "status").count(": open") == 3
    assert set(readiness.checks().values()) == {"ok"}


@ONE
def test_a_backup_of_an_older_program_is_migrated(here: Operator, backups: Path) -> None:
    listener()
    call_command("migrate", "axes", "0008", database="system", verbosity=0)
    back_up(backups, store="system")
    lose("system")
    restore_stores(backups, store="system")
    assert User.objects.count() == 1
    assert rows("system", "SELECT count(*) FROM django_migrations WHERE app = 'axes' AND name ~ '^0009'") == [
        (1,)
    ]


@ONE
def test_whatever_byte_is_damaged_the_check_finds_it_and_no_wrong_row_is_put_to_use(
    here: Operator, backups: Path
) -> None:
    listener()
    back_up(backups, store="system")
    (made,) = backups.glob("system-*")
    files = sorted(made.rglob("*"))

    @given(st.data())
    @hypothesis_settings(max_examples=40, suppress_health_check=list(HealthCheck))
    def damage(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from([each for each in files if each.name != backup.MANIFEST]))
        whole = file.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        harm = data.draw(st.sampled_from(["flip", "cut", "remove", "longer"]))
        try:
            match harm:
                case "flip":
                    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
                case "cut":
                    file.write_bytes(whole[:place])
                case "longer":
                    file.write_bytes(whole + b"x")
                case "remove":
                    file.unlink()
            with pytest.raises(backup.Damaged):
                backup.verify(backup.read(made))
        finally:
            file.write_bytes(whole)

    damage()
    assert "It is whole" in called("store_backup", "--verify", str(made))
    dump = (made / backup.DUMP).read_bytes()
    (made / backup.DUMP).write_bytes(b"")
    lose("system")
    assert "store.dump is damaged" in refused("store_restore", "--store", "system", "--from", str(backups))
    assert rows("events", "SELECT to_regnamespace('system')") == [(None,)]

    (made / backup.DUMP).write_bytes(dump)
    manifest = json.loads((made / backup.MANIFEST).read_text())
    manifest["tables"]["system.users"]["rows"] += 1
    (made / backup.MANIFEST).write_text(json.dumps(manifest))
    output = refused("store_restore", "--store", "system", "--from", str(backups))
    assert output.startswith("system.users: not what the backup's manifest says")
    assert "has not ended" in refused("db_init")


@ONE
def test_what_failed_or_was_killed_never_looks_like_a_backup(
    here: Operator, backups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(point: str) -> None:
        if point == "dumped":
            with psycopg.connect(here.urls["system"], autocommit=True) as connection:
                end_sessions(connection, "store_backup")

    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "pg_dump").write_text(
        '#!/bin/sh\ncase "$1" in --version) echo "pg_dump (PostgreSQL) 99.1"; exit;; esac\n'
        "echo 'pg_dump: error: could not write to file: No space left on device' >&2; exit 1\n"
    )
    (tools / "pg_dump").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(settings, "POSTGRES_BIN", str(tools))
        assert "No space left on device" in refused("store_backup", "--store", "events", "--to", str(backups))
    with monkeypatch.context() as patch:
        patch.setattr(backup, "failpoint", cut)
        output = refused("store_backup", "--store", "events", "--to", str(backups))
        assert "Is the server running" in output
    assert list(backups.glob("events*")) == []
    killed_at("complete", lambda: back_up(backups, store="events"))
    assert list(backups.glob(f"*{backup.PARTIAL}"))
    for alias in ("events", "system"):
        assert "no complete backup" in refused("store_restore", "--store", alias, "--from", str(backups))
    back_up(backups, store="events")
    assert len(list(backups.iterdir())) == 1


@ONE
def test_only_the_newest_are_kept_and_only_of_this_store(here: Operator, backups: Path) -> None:
    for _ in range(3):
        back_up(backups, "--keep", "2", store="events")
    back_up(backups, "--keep", "1", store="system")
    stranger = backups / "events-of-somebody"
    stranger.mkdir()
    back_up(backups, "--keep", "1", store="events")
    assert len(list(backups.glob("events-2*"))) == len(list(backups.glob("system-2*"))) == 1
    assert stranger.exists()
    assert {path.stat().st_mode & 0o777 for path in backups.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in backups.glob("*-2*")} == {0o700}


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_an_operator_sees_what_is_done_and_how_it_ends(
    operator: Operator, backups: Path, life: Life, empty_place: dict[str, str]
) -> None:
    with life.at(operator.urls):
        listener().post("plays", play())
    output = operator.run("store_backup", "--store", "all", "--to", str(backups))
    assert "up to position 1" in output
    refused("store_backup", "--store", "all", code=2)
    there = Operator(empty_place, backups / "there")
    output = there.run("store_restore", "--store", "all", "--from", str(backups))
    assert output.endswith("Restored: start the server.\n")
    with life.at(empty_place):
        called("db_init", "-v", "0")


def test_the_ledger_is_in_the_store_and_in_the_file_and_each_is_topped_up(
    stores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "deep" / "erasures"
    monkeypatch.setattr(settings, "ERASURE_LEDGER", str(file))
    first, second, third = uuid4(), uuid4(), uuid4()
    ledger.record({digest_of(first)})
    with file.open("a") as opened:
        opened.write("0123456789abcdef")  # cut short by a crash
    ledger.record({digest_of(second)})
    ledger.record({digest_of(second)})
    tombstone_stream(third)  # erased by a program without a ledger
    ledger.top_up()
    everybody = {digest_of(user) for user in (first, second, third)}
    assert ledger.read(file) == ledger.recorded() == everybody
    assert file.read_text().count(digest_of(second)) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    ledger.top_up()
    assert ledger.read(file) == everybody


def test_an_erasure_goes_on_where_the_ledgers_file_cannot_be_written(
    stores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "ERASURE_LEDGER", str(tmp_path))  # a directory
    alice = UserFactory.create(username="alice")
    erase(alice.pk)
    assert User.objects.count() == 0
    assert list(ErasedAccount.objects.values_list("digest", flat=True)) == [digest_of(alice.pk)]
    assert "cannot be written" in caplog.text
