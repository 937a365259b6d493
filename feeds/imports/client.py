"""Client for another sync server, with a listener's name and password there.

All requests go through ``feeds.fetch``, with its address rules and limits. The password is sent to the named
server and to no other.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

from eventstore.domain.identifiers import normalise_url
from feeds.fetch import MAX_BODY, Limits, Outcome, Request, fetch

# 160,000 actions; feeds.room allows for twice the size of a feed
LARGEST: Final = 2 * MAX_BODY
# a small server needs time to output a hundred thousand actions
LIMITS: Final = Limits(connect_s=10.0, total_s=150.0)
AT_ONCE: Final = 3
LONGEST_WAIT: Final = timedelta(minutes=15)
# paths behind the server's address that people copy along with it from the settings of an app
_KNOWN_PATHS: Final = re.compile(
    r"/(?:index\.php|api/[12]|apps|ocs|remote\.php|login|status\.php|subscriptions)(?:[/?].*)?$"
)
# temporary faults, after which the request is tried again
PASSING: Final = frozenset({"unreachable", "timeout", "paused", "server_error", "bad_answer"})
_CODES: Final = {"needs_login": "wrong_password", "forbidden": "wrong_password", "gone": "not_found"}


class ServerFault(Exception):
    """Why a server did not answer as expected: ``wrong_password``, ``not_found``, ``paused``,
    ``server_error``, ``no_json``, ``no_server``, ``no_app``, or the code of an outcome of ``feeds.fetch``.

    ``wait``: how long the server asks us to wait. ``place``: the host it redirects to, with ``elsewhere``.
    """

    def __init__(self, code: str, wait: timedelta | None = None, place: str = "") -> None:
        super().__init__(code)
        self.code, self.wait, self.place = code, wait, place

    @property
    def is_passing(self) -> bool:
        return self.code in PASSING


class Account(Struct, frozen=True):
    """A listener's account on another server. ``server``: in the form that ``server_of`` returns."""

    server: str
    name: str
    password: str

    def __repr__(self) -> str:
        return f"Account({self.host!r})"

    @property
    def host(self) -> str:
        return urlsplit(self.server).netloc

    @property
    def user(self) -> str:
        """The user name, quoted for a path."""
        return quote(self.name, safe="")


def server_of(text: str) -> str:
    """Return the address of a server from what somebody typed, without the path of any particular call.

    Raises ``InvalidIdentifier``.
    """
    text = text.strip()
    url = normalise_url(text if "://" in text else f"https://{text}")
    return _KNOWN_PATHS.sub("", url.partition("?")[0]).rstrip("/")


def ask(account: Account, path: str) -> bytes:
    """Return the body of an answer. Raises ``ServerFault``."""
    outcome = next(fetch([_request(account, path)], limits=LIMITS))
    if outcome.code != "ok":
        raise _fault_of(outcome)
    return outcome.body


def ask_each(account: Account, paths: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield each path with its answer as it arrives; None where there is none. Raises ``ServerFault`` for
    temporary faults of the server that are not a refusal of one path."""
    for outcome in fetch([_request(account, path) for path in paths], concurrency=AT_ONCE, limits=LIMITS):
        if outcome.code in ("unreachable", "timeout") or outcome.status == 429:
            raise _fault_of(outcome)
        yield outcome.request.context, outcome.body if outcome.code == "ok" else None


def _request(account: Account, path: str) -> Request:
    basic = b64encode(f"{account.name}:{account.password}".encode()).decode()
    return Request(
        account.server + path,
        accept="application/json",
        max_body=LARGEST,
        authorization=f"Basic {basic}",
        context=path,
    )


def _fault_of(outcome: Outcome) -> ServerFault:
    if outcome.code == "http_error":
        return ServerFault("server_error" if (outcome.status or 0) >= 500 else "not_found")
    if outcome.code == "elsewhere":
        return ServerFault("elsewhere", place=urlsplit(outcome.headers.get("location", "")).netloc)
    wait = None if outcome.retry_after_s is None else timedelta(seconds=min(outcome.retry_after_s, 86_400))
    code = _CODES.get(outcome.code, outcome.code)
    return ServerFault(code, wait and min(wait, LONGEST_WAIT))
