"""Requests as a patient client sends them: each is counted, and every unexpected answer is kept."""

import threading
import time
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jwt
import requests

from examples.two_devices import App
from tests.soak.clock import Clock
from tests.soak.memory import Json

PATIENCE = 60.0
PAUSE = 0.2
# a token may last an hour; each is used for less, so that none expires on its way
TOKEN_SECONDS = 240
MOST_FAULTS = 50


def from_home(number: int) -> dict[str, str]:
    """Return what the proxy in front of an instance adds: a separate address for everybody."""
    return {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250 + 1}"}


class Answer(NamedTuple):
    status: int
    body: Json
    position: str
    text: str = ""


class Ledger:
    """How every request of a soak was answered, and every fault that was found."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.repeats = 0
        self.faults: list[str] = []
        self._restarting = threading.Event()

    def count(self, status: int, seconds: float) -> None:
        with self._lock:
            self.statuses[status] += 1
            self.seconds.append(seconds)

    def fault(self, text: str) -> None:
        with self._lock:
            self.faults.append(text)

    def repeat(self) -> None:
        with self._lock:
            self.repeats += 1

    @property
    def restarting(self) -> bool:
        return self._restarting.is_set()

    @contextmanager
    def restart(self) -> Iterator[None]:
        """In the block the soak itself kills programs: requests may fail, and are sent again."""
        self._restarting.set()
        try:
            yield
        finally:
            self._restarting.clear()


class Player(App):
    """A podcast app that is authorized with every scope, and takes the time from the soak's clock."""

    def authorization_token(self, state: str) -> str:
        claims = jwt.decode(super().authorization_token(state), options={"verify_signature": False})
        return jwt.encode({**claims, "scopes": ["*"]}, self.key, algorithm="RS256")

    def token(self, now: int, user_id: str, device_id: str, device_name: str) -> str:
        claims: Json = {"iss": self.app_id, "sub": user_id, "iat": now, "exp": now + TOKEN_SECONDS + 60}
        claims |= {"device_id": device_id, "device_name": device_name}
        return jwt.encode(claims, self.key, algorithm="RS256")


class Account(NamedTuple):
    number: int
    user_id: str
    username: str
    password: str


class Wire:
    """One device's connection to the server."""

    def __init__(
        self,
        server: str,
        ledger: Ledger,
        clock: Clock,
        app: Player,
        account: Account,
        device_id: str,
        name: str,
    ) -> None:
        self.server, self.ledger, self.clock = server, ledger, clock
        self.app, self.account = app, account
        self.device_id, self.device_name = device_id, name
        self.home = from_home(account.number)
        self._token, self._until = "", 0.0

    def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        allow: Container[int] = (),
        key: str | None = None,
        position: str = "",
    ) -> Answer:
        """Return the answer. If its status is neither 2xx nor one of ``allow``, the ledger gets a fault."""
        headers = {**self.home, "Authorization": f"Bearer {self.token()}"}
        if key:
            headers["Idempotency-Key"] = key
        if position:
            headers["Balados-Position"] = position
        return send(self.ledger, method, self.server, path, body, headers, allow)

    def token(self) -> str:
        """Return a token for a request sent now."""
        now = self.clock.now().timestamp()
        if now >= self._until:
            self._token = self.app.token(int(now), self.account.user_id, self.device_id, self.device_name)
            self._until = now + TOKEN_SECONDS
        return self._token


_sessions = threading.local()


def session() -> requests.Session:
    """Return this thread's HTTP session, which ignores proxies that the environment names."""
    found: requests.Session | None = getattr(_sessions, "kept", None)
    if found is None:
        found = _sessions.kept = requests.Session()
        found.trust_env = False
    return found


def send(
    ledger: Ledger,
    method: str,
    server: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    allow: Container[int] = (),
) -> Answer:
    """Send a request; repeat it while the server asks to wait or may be away. Other failures are faults."""
    deadline = time.monotonic() + PATIENCE
    while True:
        away = ledger.restarting
        began = time.monotonic()
        try:
            got = session().request(method, server + path, json=body, headers=headers, timeout=PATIENCE)
        except requests.RequestException as error:
            excused, what = away or ledger.restarting, type(error).__name__
            wait = PAUSE
        else:
            ledger.count(got.status_code, time.monotonic() - began)
            if got.status_code < 400 or got.status_code in allow:
                return _answer(got)
            wait = float(got.headers.get("Retry-After") or PAUSE)
            polite = got.status_code == 503 and "Retry-After" in got.headers
            excused = got.status_code == 429 or (polite and (away or ledger.restarting))
            what = f"{got.status_code} {got.text[:500]}"
            if not excused:
                ledger.fault(f"{method} {path[:200]}: {what}")
                return _answer(got)
        if not excused or time.monotonic() > deadline:
            ledger.fault(f"{method} {path[:200]}: {what}")
            return Answer(0, {}, "")
        ledger.repeat()
        time.sleep(min(wait, 5.0))


def _answer(got: requests.Response) -> Answer:
    is_json = got.headers.get("Content-Type", "").startswith("application/json")
    return Answer(
        got.status_code, got.json() if is_json else {}, got.headers.get("Balados-Position", ""), got.text
    )
