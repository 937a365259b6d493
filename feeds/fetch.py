"""The one client for foreign servers: every fetch of the program goes through ``fetch``."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

MAX_BODY = 24 * 1024 * 1024  # bytes, decoded: a show with 10,000 episodes has 22.6 MB


class Request(Struct, frozen=True):
    """What to fetch. ``context`` is the caller's own and comes back in the outcome.

    ``followers``: how many listeners follow it, for the User-Agent; None leaves it out (secret feeds).
    """

    url: str
    etag: str = ""
    last_modified: str = ""
    followers: int | None = None
    accept: str = "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.1"
    max_body: int = MAX_BODY
    context: Any = None


class Hop(Struct, frozen=True):
    """A redirect that was followed: from where, with which status, to where."""

    url: str
    status: int
    to: str


class Outcome(Struct):
    """How a fetch ended.

    ``code``: "ok" (a 200 with a body), "not_modified" (a 304 that was asked for), or what went wrong:
    "bad_answer", "needs_login", "forbidden", "not_found", "gone" (a 410), "paused" (429 and 503),
    "http_error", "unreachable", "tls", "timeout", "too_large", "too_many_redirects", "refused" (by our own
    rules of addresses). ``detail`` is for the log and the operator, without secrets.
    """

    request: Request
    code: str
    status: int | None = None
    url: str = ""  # where the answer came from, behind all redirects
    hops: list[Hop] = []
    headers: dict[str, str] = {}  # of the answer, names in lower case, the last of each name
    body: bytes = b""
    detail: str = ""
    retry_after_s: int | None = None
    seconds: float = 0.0
    wire_bytes: int = 0

    @property
    def ok(self) -> bool:
        return self.code in ("ok", "not_modified")


def fetch(requests: Iterable[Request | None], *, concurrency: int = 200) -> Iterator[Outcome]:
    """Fetch all, many at once, and yield each outcome as it ends. Never raises for what a server does.

    Requests are taken from the iterable only as there is room, so it may be endless and may look at what has
    come back. None in it means that there is nothing to start right now: it is asked again after the next
    outcome, and within 50 ms at the latest, whether something is in flight or not. The caller keeps the
    limits of hosts; a slow reader of the outcomes slows the fetching.
    """
    raise NotImplementedError
