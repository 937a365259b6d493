"""What the outgoing client is asked, and how a fetch ends; to others by way of ``feeds.fetch``."""

from typing import Any

from msgspec import Struct

from feeds.addresses import Rules

MAX_BODY = 24 * 1024 * 1024  # bytes, decoded: a show with 10,000 episodes has 22.6 MB
MIB = 1024 * 1024


class Request(Struct, frozen=True):
    """What to fetch. ``context`` is the caller's own and comes back in the outcome.

    ``followers``: how many listeners follow it, for the User-Agent, which leaves out fewer than three. None
    leaves out where this instance is as well (secret feeds). ``form``: posted, urlencoded, rather than asked
    for; then redirects are followed that keep the method (307, 308), and no others. ``authorization``: a
    header that the server of ``url`` gets, and no other: redirects lead to it alone, and to its https.
    """

    url: str
    etag: str = ""
    last_modified: str = ""
    followers: int | None = None
    accept: str = "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.1"
    max_body: int = MAX_BODY
    form: str = ""
    authorization: str = ""
    context: Any = None

    def __repr__(self) -> str:
        return f"Request({self.url!r})"  # of the rest some is secret


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
    rules of addresses), "elsewhere" (a redirect to a server that must not get ``authorization``).
    ``detail`` is for the log and the operator, without secrets.
    ``status`` is that of the last answer, also where its body was refused. ``retry_after_s`` is what the
    server said, however long; None where it said nothing that can be read.
    """

    request: Request
    code: str
    status: int | None = None
    url: str = ""  # where the answer came from, behind all redirects
    hops: list[Hop] = []
    headers: dict[str, str] = {}  # of the answer, names in lower case, the last of each; all of "link"
    body: bytes = b""
    detail: str = ""
    retry_after_s: int | None = None
    seconds: float = 0.0
    wire_bytes: int = 0

    @property
    def ok(self) -> bool:
        return self.code in ("ok", "not_modified")


class Limits(Struct, frozen=True):
    """What a foreign server may cost at most."""

    connect_s: float = 8.0  # finding, reaching and greeting one host
    total_s: float = 20.0  # over all redirects
    redirects: int = 5
    header_bytes: int = 64 * 1024
    ratio: int = 100  # decoded to what came over the wire, past ratio_from
    ratio_from: int = MIB


LIMITS = Limits()


class Config(Struct, frozen=True):
    """How the client behaves. ``agent`` and ``public_url`` name it in the User-Agent."""

    rules: Rules
    agent: str
    public_url: str
    limits: Limits = LIMITS
