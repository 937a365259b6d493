"""A deploy under load: what was let in is answered, and what was acknowledged is there afterwards."""

import signal
import threading
from pathlib import Path

from tests.e2e.instances import eventually, running
from tests.e2e.test_demo import device_of
from tests.e2e.test_faults import CLIENTS, Ledger, events_of, read_model


def test_an_orderly_stop_under_load_loses_no_acknowledged_write(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        first.set_up()
        device = device_of(first, "bob")
        ledger = Ledger(device)
        threads = [threading.Thread(target=ledger.write_until_stopped, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: ledger.reached(100), 60)
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(60) == 0
        finally:
            ledger.enough.set()
            for thread in threads:
                thread.join(30)
        assert ledger.statuses <= {200, 201}
        assert "did not stop" not in first.output
    with running(tmp_path) as second:
        device.server = second.url
        recorded = events_of(second, device)
        assert [version for version, _ in recorded] == list(range(1, len(recorded) + 1))
        assert set(ledger.acknowledged) <= {episode for _, episode in recorded}
        eventually(lambda: ledger.acknowledged.items() <= read_model(device).items(), 60)
