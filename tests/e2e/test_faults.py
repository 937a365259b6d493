"""Kill -9 in the middle of the load: no acknowledged write is lost, none is recorded twice.

A small ledger test: clients send uniquely numbered plays and note what was acknowledged; a nemesis kills a
process; afterwards the store and the read models are compared with the ledger.
"""

import signal
import threading
import uuid
from collections.abc import Callable

import psutil
import pytest
import requests

from examples.two_devices import Device, feed, item
from tests.e2e.instances import Instance, eventually
from tests.e2e.test_demo import device_of

NEWS = feed("https://example.org/news.xml")
CLIENTS = 4
WRITES_BEFORE, WRITES_AFTER = 60, 120


class Ledger:
    """What the clients were told. An answer is OK, refused or unknown; only unknown writes are repeated."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.lock = threading.Lock()
        self.acknowledged: dict[str, int] = {}
        self.statuses: set[int] = set()
        self.enough = threading.Event()

    def write_until_stopped(self, client: int) -> None:
        number = 0
        while not self.enough.is_set():
            number += 1
            self.write(item(f"{client}-{number}", "https://example.org/1.mp3"), number)

    def write(self, episode: str, position: int) -> None:
        key = str(uuid.uuid4())
        play = {"rss_source_feed": NEWS, "rss_source_item": episode, "position": position, "played": False}
        for _ in range(600):
            token = self.device.app.request_token(self.device.user_id, "d", "phone")
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
            try:
                url = f"{self.device.server}/api/v1/plays"
                answer = requests.post(url, json=play, headers=headers, timeout=10)
            except requests.RequestException:
                if self.enough.wait(0.1):
                    return
                continue
            with self.lock:
                self.statuses.add(answer.status_code)
            if answer.status_code in (200, 201):
                with self.lock:
                    self.acknowledged[episode] = position
                return
            if self.enough.wait(0.1):
                return

    def reached(self, count: int) -> bool:
        with self.lock:
            return len(self.acknowledged) >= count


def kill_web(victim: Instance) -> None:
    for process in victim.processes("balados.serve"):
        kill(process)


def kill_projector(victim: Instance) -> None:
    for process in victim.processes("run_projectors"):
        kill(process)


def kill_postgres(victim: Instance) -> None:
    """Kill the postmaster, as a power cut would; its children notice and exit."""
    pid = int((victim.home / "postgres" / "postmaster.pid").read_text().split()[0])
    kill(psutil.Process(pid))


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("strike", [kill_web, kill_projector, kill_postgres])
def test_no_acknowledged_write_is_lost(victim: Instance, strike: Callable[[Instance], None]) -> None:
    device = device_of(victim, f"bob-{strike.__name__.replace('_', '-')}")
    ledger = Ledger(device)
    threads = [threading.Thread(target=ledger.write_until_stopped, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: ledger.reached(WRITES_BEFORE), 60)
        strike(victim)
        so_far = len(ledger.acknowledged)
        eventually(lambda: ledger.reached(so_far + WRITES_AFTER), 120)
    finally:
        ledger.enough.set()
        for thread in threads:
            thread.join(30)

    assert ledger.statuses <= {200, 201, 503}
    recorded = events_of(victim, device)
    versions = [version for version, _ in recorded]
    items = [episode for _, episode in recorded]
    assert versions == list(range(1, len(versions) + 1))
    assert len(items) == len(set(items)), "a write was recorded twice"
    assert set(ledger.acknowledged) <= set(items), "an acknowledged write was lost"
    eventually(lambda: ledger.acknowledged.items() <= read_model(device).items(), 60)


def events_of(victim: Instance, device: Device) -> list[tuple[int, str]]:
    statement = """SELECT version, data ->> 'rss_source_item' FROM events.events
        JOIN events.streams ON streams.id = stream WHERE name = %s ORDER BY version"""
    with victim.store() as store:
        return store.execute(statement, [f"user-{device.user_id}"]).fetchall()


def read_model(device: Device) -> dict[str, int]:
    """Return the position of every play that the API shows, read page by page."""
    found: dict[str, int] = {}
    path = "/api/v1/plays?limit=100"
    while path:
        answer = device.call("GET", path)
        found |= {entry["rss_source_item"]: entry["position"] for entry in answer["play_statuses"]}
        cursor = answer["next_cursor"]
        path = f"/api/v1/plays?limit=100&cursor={cursor}" if cursor else ""
    return found
