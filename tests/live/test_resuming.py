"""A connection that breaks continues after its cursor: nothing is missing, and nothing comes twice."""

import os
import signal
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_to

from accounts.erasure import begin
from api.v1.sync import cursor_of
from eventstore import changes
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.checkpoint import TakeCheckpoint
from tests.api.devices import Device, item, play, status
from tests.e2e.instances import free_port
from tests.live.sockets import WAIT, Gateway, Socket

Connect = Callable[..., Socket]
# each number is played once
EPISODES = count(1)
ROOT = Path(__file__).resolve().parents[2]


def numbers(push: dict[str, Any]) -> list[int]:
    """Return the numbers of the episodes in a push, as ``play`` numbers them."""
    assert push["type"] == "changes", push
    return [int(entry["guid"].removeprefix("episode-")) for entry in push["data"]["play_statuses"]]


class Reader:
    """A device that keeps what it received, and reconnects from where it stopped."""

    def __init__(self, device: Device, port: int) -> None:
        self.device, self.found, self.cursor = device, list[int](), None
        self.connect(port)

    def connect(self, port: int) -> None:
        self.socket = Socket(port)
        self.cursor = self.socket.authenticate(self.device, self.cursor)["cursor"]

    def read(self, upto: int) -> None:
        """Read until this many episodes were received."""
        while len(self.found) < upto:
            push = self.socket.changes()
            self.found += numbers(push)
            self.cursor = push["cursor"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.sampled_from(["play", "play", "several", "read", "break"]), max_size=25))
def test_whenever_it_breaks_everything_comes_once_and_in_order(
    gateway: Gateway, phone: Device, tablet: Device, script: list[str]
) -> None:
    reader, played = Reader(phone, gateway.port), list[int]()
    for step in [*script, "break", "read"]:
        match step:
            case "play":
                played.append(next(EPISODES))
                tablet.post("plays", play(played[-1]))
            case "several":
                some = list(islice(EPISODES, 7))
                played += some
                tablet.sync(play_statuses=[status(number) for number in some])
            case "read":
                reader.read(len(played))
            case "break":
                reader.socket.close()
                reader.connect(gateway.port)
    assert reader.found == played
    reader.socket.close()


def test_a_long_absence_is_made_up_in_pages(stores: None, phone: Device, tablet: Device) -> None:
    with Gateway(page=100) as gateway:
        reader = Reader(phone, gateway.port)
        reader.socket.close()
        tablet.sync(play_statuses=[status(n) for n in range(1, 951)])
        reader.connect(gateway.port)
        pages = 0
        while len(reader.found) < 950:
            reader.read(len(reader.found) + 1)
            pages += 1
        assert sorted(reader.found) == list(range(1, 951))
        assert pages == 10


def test_a_cursor_of_a_sync_is_as_good(connect: Connect, phone: Device, tablet: Device) -> None:
    tablet.post("plays", play(1))
    cursor = phone.sync()["cursor"]
    tablet.post("plays", play(2))
    socket = connect(phone, cursor)
    push = socket.changes()
    assert numbers(push) == [2]
    assert phone.sync(push["cursor"])["data"]["play_statuses"] == []


@pytest.mark.parametrize("cursor", ["nonsense", "WzEsIm5vYm9keSIsIiJd", 5, [], ""])
def test_a_cursor_that_was_never_given_is_refused(connect: Connect, phone: Device, cursor: object) -> None:
    socket = connect()
    token = phone.headers["Authorization"].removeprefix("Bearer ")
    socket.send({"type": "auth", "token": token, "cursor": cursor})
    assert socket.closing() == (4401, "invalid_cursor")


def test_what_cannot_be_told_singly_asks_for_a_whole_sync(
    connect: Connect, phone: Device, tablet: Device
) -> None:
    socket = connect(phone)
    tablet.post("plays", play(1))
    assert numbers(socket.changes()) == [1]
    now = timezone.now()
    dispatch(TakeCheckpoint(user_id=phone.user_id, now=now, before=now), Origin())
    push = socket.changes()
    assert push["type"] == "resync"
    # and the connection continues from there
    tablet.post("plays", play(2))
    assert numbers(socket.changes()) == [2]
    assert numbers(connect(phone, push["cursor"]).changes()) == [2]


def test_who_reads_slowly_is_let_go_and_holds_up_nobody(stores: None, phone: Device, tablet: Device) -> None:
    tablet.sync(play_statuses=[status(n) for n in range(1, 4_001)])
    token = phone.headers["Authorization"].removeprefix("Bearer ")
    start = Device(phone.user_id, device_id="old").sync()  # its answer has the cursor of the log
    with Gateway(send_within=0.3) as gateway:
        slow = sockets.socket()
        slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", gateway.port))
        # the client takes one frame, and then no more
        opened = connect_to(f"ws://127.0.0.1:{gateway.port}/api/v1/live", sock=slow, max_queue=1)
        with opened as stuck:
            stuck.send(f'{{"type": "auth", "token": "{token}", "cursor": "{first_of(phone, start)}"}}')
            other = Socket(gateway.port)
            other.authenticate(phone)
            tablet.post("plays", play(9_999))
            assert numbers(other.changes()) == [9_999]
            until = time.monotonic() + WAIT
            while gateway.live.census.connections > 1:
                assert time.monotonic() < until
                time.sleep(0.01)
            with pytest.raises(ConnectionClosed):
                list(iter(lambda: stuck.recv(timeout=WAIT), None))
        other.close()


def first_of(device: Device, synced: dict[str, Any]) -> str:
    """Return the cursor of the beginning of a device's log."""
    assert synced["full"]
    return cursor_of(0, device.user_id)


def test_an_erased_account_ends_its_connections(gateway: Gateway, connect: Connect, phone: Device) -> None:
    socket = connect(phone)
    begin(phone.user_id, timezone.now())
    gateway.check()
    assert socket.closing() == (4403, "account_closed")


def test_at_a_restart_everybody_is_told_when_to_come_again(stores: None, phone: Device) -> None:
    with Gateway() as gateway:
        socket = Socket(gateway.port)
        socket.authenticate(phone)
        gateway.stop()
        assert socket.closing() == (1012, "retry_after=5.5")
        assert socket.pushed == [{"type": "restart", "retry_after": 5.5}]


@contextmanager
def processes(number: int) -> Iterator[list[tuple[int, "subprocess.Popen[bytes]"]]]:
    """Run live processes as an operator does, and yield each with its port."""
    started = []
    for _ in range(number):
        port = free_port()
        own = {**os.environ, "LIVE": "on", "LIVE_PORT": str(port), "LOG_LEVEL": "WARNING"}
        command = [sys.executable, "-m", "balados.live"]
        started.append((port, subprocess.Popen(command, cwd=ROOT, env=own)))
    try:
        yield started
    finally:
        for _, process in started:
            process.kill()
            process.wait()


def reached(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            return sockets.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_killed_process_costs_nothing_and_another_goes_on(
    stores: None, phone: Device, tablet: Device
) -> None:
    with processes(2) as [(first, killed), (second, stopped)]:
        for port in (first, second):
            reached(port)
        reader, elsewhere = Reader(phone, first), Reader(tablet, second)
        for number in range(1, 11):
            sent = elsewhere.socket.command("record_play", **play(number))
            assert sent["status"] == 200
            if number == 5:
                reader.read(3)
                killed.send_signal(signal.SIGKILL)
                killed.wait()
                reader.connect(second)
        reader.read(10)
        assert reader.found == list(range(1, 11))
        stopped.terminate()
        code, reason = reader.socket.closing()
        assert (code, reason.partition("=")[0]) == (1012, "retry_after")
        assert stopped.wait(WAIT) == 0
        assert changes.extent(phone.user_id, 0).head >= 10
        assert item(10)
