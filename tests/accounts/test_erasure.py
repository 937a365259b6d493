"""Erasing an account, and everything that belongs to it, for good."""

import logging
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.utils import timezone

from accounts import erasure
from accounts.models import AppGrant, PlayToken, User
from eventstore import dispatcher, entries, log
from eventstore.appending import CommandAlreadyRecorded
from eventstore.columns import KeptEntry
from eventstore.dispatcher import CommandId, StreamErased, dispatch
from eventstore.domain.messages import Origin
from eventstore.domain.plays import RecordPlay
from eventstore.domain.subscriptions import Subscribe
from jobs import retention, tasks
from projections import catch_up, runner
from projections.batches import Batch
from projections.connect import connect
from projections.erasure import erase_history
from projections.lag import wait_for_all
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.runner import Runner
from projections.worker import StalePosition, Worker
from tests.api.devices import Device, feed, item, play
from tests.api.test_removals import live
from tests.apps import App
from tests.factories import PASSWORD, PlayTokenFactory, UserFactory
from tests.jobs.working import projectors_reach, read_models, run_projectors
from tests.projections.running import running
from tests.searching import found
from tests.web.people import Visitor

pytestmark = pytest.mark.usefixtures("stores")

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "Aliceandra"
MAIL = "aliceandra@example.org"
CUTS = [
    "ledgered",
    "tombstoned",
    "purging",
    "purged",
    "unprojecting",
    "unprojected",
    "history_erased",
    "account_erasing",
]
# erases one account after the other, each in a process that is killed at the point of that name
ERASE_AND_DIE = """
import os, sys
import django
from django.core.management import call_command
os.environ["DJANGO_SETTINGS_MODULE"] = "balados.settings"
django.setup()
for point in sys.argv[1:]:
    if os.fork() == 0:
        os.environ["BALADOS_FAILPOINT"] = point
        call_command("erase_user", f"Aliceandra.{point}", "--yes")
        os._exit(0)
    print(point, os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.fixture
def alice(stores: None) -> User:
    return UserFactory.create(username=NAME, email=MAIL, password=PASSWORD)


@pytest.fixture
def phone(alice: User) -> Device:
    return phone_of(alice)


def phone_of(user: User) -> Device:
    App().grant(user)
    return Device(user.pk, device_id="phone-of-aliceandra", device_name="Aliceandra's phone")


@pytest.fixture
def bobs(stores: None) -> Device:
    bob = UserFactory.create(username="bob")
    App().grant(bob)
    return Device(bob.pk)


def erase(user: User) -> dict[str, int]:
    erasure.begin(user.pk, timezone.now())
    return erasure.complete(user.pk, erase_history)


def traces(*users: User) -> list[str]:
    """Return where an id, in either spelling, the user name, the e-mail address or the device id is found."""
    ids = [spelling for user in users for spelling in (str(user.pk), user.pk.hex)]
    return found(*ids, NAME, MAIL, "phone-of-aliceandra")


def leave_traces(user: User, phone: Device) -> None:
    """Leave data in every place that keeps data of a user."""
    use_everything(user, phone)
    run_projectors()
    retention.run(wait=projectors_reach)


def use_everything(user: User, phone: Device) -> None:
    live(phone, feed(7), (item(71), item(72)))
    PlayTokenFactory.create(user=user, name="kitchen of Aliceandra")
    typed = {"username": user.username, "password": PASSWORD}
    assert Visitor().send("/users/log_in", typed).status_code == 302
    assert Visitor().send("/users/log_in", typed | {"password": "wrong"}).status_code == 400
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr=NAME,
        action_flag=CHANGE,
        change_message="",
    )


def test_nothing_is_found_of_an_erased_user_and_a_rebuild_does_not_bring_him_back(
    alice: User, phone: Device, caplog: pytest.LogCaptureFixture
) -> None:
    leave_traces(alice, phone)
    assert len(traces(alice)) > 8, "or the search finds nothing at all"
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        receipt = erase(alice)
    assert traces(alice) == []
    for word in (str(alice.pk), alice.pk.hex, NAME, MAIL, feed(7)):
        assert word not in caplog.text
    run_projectors()
    retention.run(wait=projectors_reach)
    assert found(feed(7), item(71)) == [], "figures of what he alone listened to"
    before = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == before
    assert traces(alice) == []
    assert receipt["events"] > 10
    assert receipt["accounts"] == receipt["app_grants"] == receipt["play_tokens"] == receipt["sessions"] == 1
    assert receipt["log_in_attempts"] == receipt["administration_log"] == 1
    assert receipt["users.play_statuses"] >= 2


def test_nothing_of_anybody_else_goes(alice: User, phone: Device, bobs: Device) -> None:
    for device in (phone, bobs):
        live(device, feed(7), (item(71), item(72)))
    run_projectors()
    retention.run(wait=projectors_reach)  # what is too old to be shown is deleted anyway
    bob = str(bobs.user_id)
    before = log.read_stream(log.stream_of(bobs.user_id))
    rows = {table: [row for row in rows if bobs.user_id in row] for table, rows in read_models().items()}
    places = found(bob)
    erase(alice)
    run_projectors()
    assert log.read_stream(log.stream_of(bobs.user_id)) == before
    after = read_models()
    assert {table: [row for row in rows if bobs.user_id in row] for table, rows in after.items()} == rows
    assert found(bob) == places


def test_erasing_twice_finds_nothing_the_second_time(alice: User, phone: Device) -> None:
    leave_traces(alice, phone)
    erase(alice)
    assert erasure.complete(alice.pk, erase_history) == {}


def test_an_account_that_never_did_anything_goes_too(alice: User) -> None:
    assert erase(alice) == {"accounts": 1}
    assert traces(alice) == []


def test_killed_half_way_it_is_finished_by_the_scheduler() -> None:
    """There is one listener for each point at which the erasure may be cut off."""
    users = {point: UserFactory.create(username=f"{NAME}.{point}", password=PASSWORD) for point in CUTS}
    phones = {point: phone_of(user) for point, user in users.items()}
    for point in CUTS:
        use_everything(users[point], phones[point])
    run_projectors()
    retention.run(wait=projectors_reach)
    command = [sys.executable, "-c", ERASE_AND_DIE, *CUTS]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.stdout.splitlines() == [f"{point} -9" for point in CUTS], killed.stderr
    for point, phone in phones.items():
        assert phone.get("me").status_code == 401, f"{point}: closed from the first moment"
    assert tasks.finish_erasures() == len(CUTS)
    assert traces(*users.values()) == []
    run_projectors()
    retention.run(wait=projectors_reach)
    rebuild(list(PROJECTORS.values()))
    assert traces(*users.values()) == []
    assert tasks.finish_erasures() == 0


def test_while_projectors_run_and_the_user_writes_nothing_is_left(
    alice: User, phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.02)
    refused: list[Exception] = []
    begun = threading.Event()

    def listen() -> None:
        number = 0
        try:
            while not refused:
                number += 1
                command = RecordPlay(
                    user_id=alice.pk,
                    feed=feed(),
                    item=item(number % 50),
                    position=number,
                    played=False,
                    now=timezone.now(),
                )
                try:
                    dispatch(command, Origin())
                except StreamErased as error:
                    refused.append(error)
                if number == 50:
                    begun.set()
        finally:
            connections.close_all()

    with running(Runner()):
        writers = [threading.Thread(target=listen) for _ in range(2)]
        for writer in writers:
            writer.start()
        assert begun.wait(30)
        receipt = erase(alice)
        for writer in writers:
            writer.join(30)
        assert not any(writer.is_alive() for writer in writers)
        assert receipt["events"] >= 50
        wait_for_all(log.head())
        assert traces(alice) == []


def test_a_late_writer_is_refused_whether_he_knew_the_stream_or_not(alice: User, phone: Device) -> None:
    def command(number: int) -> Subscribe:
        return Subscribe(user_id=alice.pk, feed=feed(number), now=timezone.now())

    key = CommandId(key=UUID(int=1), fingerprint=b"x")
    dispatch(command(1), Origin())
    erase(alice)
    with pytest.raises(StreamErased):  # this process has cached the user's state
        dispatch(command(2), Origin())
    with pytest.raises(StreamErased):
        dispatch(command(1), Origin(), command_id=key)
    dispatcher.clear_cache()
    log.clear_caches()
    with pytest.raises(StreamErased):
        dispatch(command(3), Origin())
    assert traces(alice) == []
    assert found(feed(1), feed(2), feed(3)) == []


def test_what_was_kept_of_the_stream_cannot_be_written_back(alice: User, phone: Device) -> None:
    phone.post("plays", play())
    stream = log.stream_of(alice.pk)
    erase(alice)
    with pytest.raises(StreamErased):
        entries.replace(stream, [KeptEntry("plays", alice.pk.hex, "", "{}")], 1)
    with pytest.raises(CommandAlreadyRecorded):
        log.remember_command(stream, CommandId(UUID(int=1), b"x"), 0, 0, str(alice.pk).encode())
    assert traces(alice) == []


def test_a_batch_that_was_read_before_is_not_applied(alice: User, phone: Device) -> None:
    phone.post("plays", play())
    batch = Batch(log.read_all(0, 100), log.head())
    with connect("projections") as connection:
        workers = [Worker(projector, connection) for projector in PROJECTORS.values()]
        erase(alice)
        for worker in workers:
            with pytest.raises(StalePosition):
                worker.apply(batch)
    assert traces(alice) == []


def test_a_rebuild_under_way_goes_on_without_him(
    alice: User, phone: Device, bobs: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in (phone, bobs):
        for number in range(5):
            device.post("plays", play(number))
    run_projectors()
    monkeypatch.setattr(catch_up, "AT_ONCE", 2)
    receipts: list[dict[str, int]] = []

    def progress(position: int, head: int) -> None:
        if not receipts:
            receipts.append(erase(alice))

    rebuild(list(PROJECTORS.values()), progress)
    assert receipts[0]["events"] >= 5
    assert traces(alice) == []
    run_projectors()
    assert traces(alice) == []
    assert len(read_models()["play_statuses"]) == 5


def test_whoever_takes_the_name_sees_nothing_old(alice: User, phone: Device) -> None:
    leave_traces(alice, phone)
    erase(alice)
    again = UserFactory.create(username=NAME, email=MAIL, password=PASSWORD)
    assert again.pk != alice.pk
    App().grant(again)
    new = Device(again.pk)
    run_projectors()
    assert b'"play_statuses":[]' in new.get("plays").content
    assert phone.get("me").status_code == 401
    assert new.get("me").status_code == 200
    assert PlayToken.objects.count() == 0
    assert AppGrant.objects.count() == 1


def test_positions_that_were_given_out_stay_below_the_head(alice: User, phone: Device, bobs: Device) -> None:
    """Otherwise a client would be told that this server has never reached that position."""
    bobs.post("plays", play())
    given = phone.post("plays", play())["Balados-Position"]
    run_projectors()
    erase(alice)
    run_projectors()
    assert bobs.get("plays", Balados_Position=given).status_code == 200


def test_no_key_in_redis_names_anybody(alice: User, phone: Device) -> None:
    """Counters are stored under digests."""
    phone.get("me")
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        assert not list(connection.scan_iter(f"*{alice.pk}*"))
