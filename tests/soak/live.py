"""A device that never asks: a live connection tells it what the others do, and it sends nothing itself.

After every break it connects again, with the cursor of the last message. In the end its screen thus shows
whether anything was left out.
"""

import contextlib
import json
import threading
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.soak.device import Device
from tests.soak.wire import Wire

# seconds between two checks whether to stop, and before connecting again
LOOK, PAUSE = 0.2, 0.5
ENDED = {(4403, "account_closed"), (4401, "not_authenticated")}


class LiveDevice:
    """A device that listens at ``address``, the live process. ``ended``: whether it was told that its account
    is closed."""

    def __init__(self, device: Device, address: str) -> None:
        self.device, self._address = device, address
        self.notified = self.breaks = 0
        self.ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="live", daemon=True)

    def start(self) -> None:
        # the state so far; the live connection sends what comes after it
        self.device.sync()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def _wire(self) -> Wire:
        return self.device.wire

    def _listen(self) -> None:
        while not self._stop.is_set() and not self.ended:
            try:
                with connect(self._address, additional_headers=self._wire.home, max_size=None) as live:
                    self._hear(live)
            except ConnectionClosed as closed:
                self.ended = closed.rcvd is not None and (closed.rcvd.code, closed.rcvd.reason) in ENDED
                self._excuse(closed)
            except (OSError, InvalidHandshake) as failure:
                if not self._wire.ledger.restarting:
                    self._wire.ledger.fault(f"live: {failure!r}")
            self._stop.wait(PAUSE)

    def _hear(self, live: ClientConnection) -> None:
        token = {"type": "auth", "token": self._wire.token(), "cursor": self.device.cursor}
        live.send(json.dumps(token))
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                message = json.loads(live.recv(timeout=LOOK))
                if message["type"] == "resync":
                    self.device.cursor = None
                    self.device.sync()
                elif message["type"] == "changes":
                    self.notified += 1
                    for topic, entries in message["data"].items():
                        self.device.memory.remember(topic, *entries)
                    self.device.cursor = message["cursor"]

    def _excuse(self, closed: ConnectionClosed) -> None:
        """Count a break, and record a fault unless there is an excuse: the process was killed or restarted,
        or the token has expired, as days pass quickly here."""
        self.breaks += 1
        reason = closed.rcvd.reason if closed.rcvd else ""
        if self.ended or self._wire.ledger.restarting or reason == "token_expired":
            return
        # the soak may have killed the process a moment ago
        time.sleep(PAUSE)
        if closed.rcvd is not None:
            self._wire.ledger.fault(f"live: closed with {closed.rcvd.code} {reason}")
