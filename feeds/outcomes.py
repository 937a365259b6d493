"""What the feed client is asked to fetch, and how a fetch ends; others import it from ``feeds.fetch``."""

from typing import Any

from msgspec import Struct

from feeds.addresses import Rules

MAX_BODY = 24 * 1024 * 1024  # bytes, decoded: a show with 10,000 episodes has 22.6 MB
MIB = 1024 * 1024


class Request(Struct, frozen=True):
    """What to fetch. ``context`` belongs to the caller and is returned in the outcome.

    ``followers``: the number of listeners who follow the feed, for the User-Agent, which omits numbers below
    three. None also omits the address of this instance (secret feeds). ``form``: urlencoded data to send by
    POST instead of a GET; then only redirects that keep the method (307, 308) are followed.
    ``authorization``: a header sent only to the server of ``url``: redirects are followed only to the same
    server, or to its https.
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
        return f"Request({self.url!r})"  # some of the rest is secret


class Hop(Struct, frozen=True):
    """A redirect that was followed: its address, its status, and its target."""

    url: str
    status: int
    to: str


class Outcome(Struct):
    """How a fetch ended.

    ``code``: "ok" (a 200 with a body), "not_modified" (a 304 after a conditional request), or what went
    wrong: "bad_answer", "needs_login", "forbidden", "not_found", "gone" (a 410), "paused" (429 and 503),
    "http_error", "unreachable", "tls", "timeout", "too_large", "too_many_redirects", "refused" (by our own
    address rules), "elsewhere" (a redirect to a server that must not get ``authorization``).
    ``detail`` is for the log and the operator, and contains no secrets.
    ``status`` is that of the last answer, even if its body was refused. ``retry_after_s`` is what the server
    asked for, however long; None where it sent nothing readable.
    """

    request: Request
    code: str
    status: int | None = None
    url: str = ""  # the address that answered, after all redirects
    hops: list[Hop] = []
    headers: dict[str, str] = {}  # of the answer; names in lower case, the last of each; all of "link"
    body: bytes = b""
    detail: str = ""
    retry_after_s: int | None = None
    seconds: float = 0.0
    wire_bytes: int = 0

    @property
    def ok(self) -> bool:
        return self.code in ("ok", "not_modified")


class Limits(Struct, frozen=True):
    """Limits on what a foreign server may cost."""

    connect_s: float = 8.0  # lookup, connection and TLS handshake with one host
    total_s: float = 20.0  # over all redirects
    redirects: int = 5
    header_bytes: int = 64 * 1024
    ratio: int = 100  # decompressed bytes per byte received, above ratio_from
    ratio_from: int = MIB


LIMITS = Limits()


class Config(Struct, frozen=True):
    """The configuration of the client. ``agent`` and ``public_url`` identify it in the User-Agent."""

    rules: Rules
    agent: str
    public_url: str
    limits: Limits = LIMITS
