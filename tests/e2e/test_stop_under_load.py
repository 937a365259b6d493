"""Deploying under load: every accepted request is answered, and no acknowledged write is lost."""

import signal
import threading

from tests.e2e.instances import Instance, eventually
from tests.e2e.test_demo import device_of
from tests.e2e.test_faults import CLIENTS, Ledger, events_of, read_model


def test_an_orderly_stop_under_load_loses_no_acknowledged_write(victim: Instance) -> None:
    device = device_of(victim, "loaded")
    ledger = Ledger(device)
    threads = [threading.Thread(target=ledger.write_until_stopped, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: ledger.reached(100), 60)
        victim.process.send_signal(signal.SIGTERM)
        assert victim.process.wait(60) == 0
    finally:
        ledger.enough.set()
        for thread in threads:
            thread.join(30)
    assert ledger.statuses <= {200, 201}
    assert "did not stop" not in victim.output
    victim.restart()
    recorded = events_of(victim, device)
    assert [version for version, _ in recorded] == list(range(1, len(recorded) + 1))
    assert set(ledger.acknowledged) <= {episode for _, episode in recorded}
    eventually(lambda: ledger.acknowledged.items() <= read_model(device).items(), 60)
