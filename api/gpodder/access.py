"""Authentication and answers for the routes of podcast apps: Basic or a cookie; the path decides the format.

These are plain views, not REST framework's: the routes have authentication, errors and bodies of their own,
and apps send JSON bodies under any Content-Type.
"""

import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import get_script_prefix
from rest_framework.exceptions import APIException, ParseError

from accounts import app_log, app_login, attempts
from accounts.addresses import client_address
from accounts.app_log import LONGEST_NAME, MOST_SKIPPED, Entry
from accounts.app_login import LockedOut, SignedIn
from accounts.usernames import username_key
from api import errors
from api.clock import now
from api.errors import ApiError
from api.gpodder.marks import App
from api.operations import MIB
from api.parsers import check_size, read_body
from api.throttles import WINDOW
from eventstore.domain.batch import Batch
from eventstore.domain.messages import Command

COOKIE: Final = "sessionid"
CHALLENGE: Final = 'Basic realm="Balados", charset="UTF-8"'
LARGEST: Final = 16 * MIB
# limit of objects and lists nested within each other
DEEPEST: Final = 20
YEAR: Final = 365 * 24 * 3600
# names of counts that show that a request changed something, here or in the app
NEWS: Final = ("new", "sent", "added", "removed", "held", "changed")

_CONTAINERS: Final = frozenset({dict, list})
_BLANKS: Final = b" \t\n\r"
_CREDENTIALS: Final = re.compile(r"//[^/?#\s]*@")

Order = TypeVar("Order", bound=Command)
Answer = HttpResponse | StreamingHttpResponse
# A handler gets the call and what its path names; it returns a response, something to encode as JSON, or None
# for an empty response.
Handler = Callable[..., Any]


class Call:
    """One request of an app. ``who`` is None if nobody signed in, on routes that are open to everybody."""

    def __init__(self, request: HttpRequest, moment: datetime) -> None:
        self.request = request
        self.now = moment
        self.who: SignedIn | None = None
        # the cookie that the answer sets, if the app signed in with a password
        self.cookie: str | None = None
        # which of the two topics this call is about, for apps that send their own clocks (``marks.App``)
        self.topic = ""
        self.agent: str = request.META.get("HTTP_USER_AGENT", "")[:200]
        self.query: Mapping[str, str] = request.GET
        # the log entry of this call, which the listener can read on /apps
        self.entry = Entry("other")

    @property
    def user_id(self) -> UUID:
        assert self.who is not None
        return self.who.user_id

    @property
    def app(self) -> App:
        assert self.who is not None
        return App(self.who.user_id, self.who.app(self.agent), self.who.is_one_app, self.topic)

    def order(self, command: Callable[..., Order], **fields: Any) -> Order:
        """Return a command of the caller, at the time of this call."""
        return command(user_id=self.user_id, now=self.now, **fields)

    def batch(self, orders: Iterable[Any]) -> Batch:
        """Return a command that carries out all of these in one append."""
        return self.order(Batch, orders=tuple(orders))

    def tell(self, what: str, skipped: Sequence[tuple[Any, str]] = (), **counts: int) -> None:
        """Set the log entry: ``what`` the app wanted, by a name in ``web/app_log.py``, with ``counts``; those
        in ``NEWS`` are news. ``skipped``: what was sent but not accepted, with the reasons."""
        self.entry = Entry(
            what,
            {name: count for name, count in counts.items() if count},
            tuple((_named(sent), reason) for sent, reason in skipped[:MOST_SKIPPED]),
            max(len(skipped) - MOST_SKIPPED, 0),
            is_news=any(counts.get(name) for name in NEWS),
        )

    def log(self, status: int = 200) -> None:
        """Keep the log entry for the listener, once the answer is known."""
        if self.who is None:
            return
        entry = self.entry
        if status >= 400:
            asked = f"{self.request.method} {self.request.path_info}"
            entry = Entry("refused", skipped=((asked[:LONGEST_NAME], ""),), status=status)
        app_log.note(self.who.user_id, self.who.password, self.agent, entry, self.now)

    @cached_property
    def body(self) -> bytes:
        """Return the body, decompressed. Raises ``ApiError`` 413 and 400."""
        return _unpacked(_raw(self.request), self.request.META.get("HTTP_CONTENT_ENCODING", "identity"))

    def json(self, kind: type) -> Any:
        """Return the decoded body, which must be of type ``kind``. Raises ``ApiError`` 400."""
        found = decoded(self.body)
        if not isinstance(found, kind):
            raise bad(f"The body must be a JSON {'object' if kind is dict else 'list'}.")
        return found


def bad(detail: str) -> ApiError:
    return ApiError(400, "bad_request", detail)


def not_found(detail: str = "Not found.") -> ApiError:
    return ApiError(404, "not_found", detail)


def route(*, is_open: bool = False, is_limited: bool = True, **handlers: Handler) -> Callable[..., Answer]:
    """Return a view that calls the handler of each method. Unless ``is_open``, the caller must sign in; where
    the path has a ``user``, whoever signs in must be that user. Open routes are limited by address, unless
    they see to that themselves (not ``is_limited``)."""
    methods = {name.upper(): handler for name, handler in handlers.items()}
    if "GET" in methods:
        methods["HEAD"] = methods["GET"]

    def view(request: HttpRequest, **names: str) -> Answer:
        allowed = ", ".join([*methods, "OPTIONS"])
        if request.method == "OPTIONS":
            return _finished(HttpResponse(status=200, headers={"Allow": allowed}))
        handler = methods.get(request.method or "")
        if handler is None:
            refused = errors.error_response(405, "method_not_allowed", "This method is not allowed here.")
            refused["Allow"] = allowed
            return _finished(refused)
        return _answered(request, handler, is_open, is_open and is_limited, names)

    return view


def since_of(call: Call) -> int:
    """Return the mark since which an app wants changes; 0 if it sent none. Raises ``ApiError`` 400."""
    text = call.query.get("since", "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise bad("since is a number that this server gave.")
    return int(text)


def encoded(found: Any) -> HttpResponse:
    """Return a response with JSON in ASCII."""
    return HttpResponse(json.dumps(found, separators=(",", ":")), content_type="application/json")


def decoded(raw: bytes) -> Any:
    """Return what a JSON body holds. Raises ``ApiError`` 400."""
    if (quickly := _decoded_plain(raw)) is not None:
        return quickly
    try:
        found = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_once_each, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise bad("The body is not JSON in UTF-8.") from None
    _check_depth(found)
    return found


def _decoded_plain(raw: bytes) -> Any:
    """Return what a JSON body holds, in half of the time; None for a body that must be looked at closely.

    Without blanks, each name ends with a quote and a colon. If there are no more of these than names that
    were decoded, no object has a name twice.
    """
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    level, names = [found] if type(found) in _CONTAINERS else [], 0
    for _ in range(DEEPEST):
        names += sum(len(one) for one in level if type(one) is dict)
        level = _inside(level)
        if not level:
            return found if raw.translate(None, _BLANKS).count(b'":') == names else None
    return None


def _answered(
    request: HttpRequest, handler: Handler, is_open: bool, is_limited: bool, names: dict[str, str]
) -> Answer:
    call = Call(request, now())
    try:
        if is_limited:
            check_rate(request)
        _sign_in(call, needed=not is_open)
        user = names.pop("user", None)
        if user is not None and call.who is not None and username_key(user) != call.who.username_key:
            raise bad("This address is of another account.")
        found = handler(call, **names)
    except Exception as error:
        refused = _refused(error)
        call.log(refused.status_code)
        return refused
    if found is None:
        found = HttpResponse(b"", content_type="application/json")
    answer = found if isinstance(found, Answer) else encoded(found)
    if isinstance(answer, StreamingHttpResponse):
        answer.streaming_content = _logged(call, answer.streaming_content)
    else:
        call.log(answer.status_code)
    return _finished(answer, call)


def _logged(call: Call, content: Any) -> Iterator[bytes]:
    """Yield what is streamed, and log the call afterwards: only then is it known how much was sent."""
    yield from content
    call.log()


def _finished(answer: Answer, call: Call | None = None) -> Answer:
    answer["Vary"] = "Authorization, Cookie"
    answer["Cache-Control"] = "no-store"
    if call is not None and call.cookie is not None:
        answer.set_cookie(
            COOKIE,
            call.cookie,
            max_age=YEAR,
            path=get_script_prefix(),
            secure=call.request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return answer


def _refused(error: Exception) -> Answer:
    """Return the answer to an error. Raises the error again if it is a bug of ours."""
    if isinstance(error, LockedOut):
        error = ApiError(
            429, "locked_out", "Too many wrong passwords.", int(settings.AXES_COOLOFF_TIME.total_seconds())
        )
    known = errors.to_api_error(error)
    if known is None:
        raise error
    return _finished(_shown(known))


def _shown(error: APIException) -> HttpResponse:
    answer = errors.error_response(error.status_code, str(error.get_codes()), str(error.detail))
    if error.status_code in (401, 403):
        answer = errors.error_response(401, "not_authenticated", "Sign in with a name and a password.")
        answer["WWW-Authenticate"] = CHALLENGE
    wait = getattr(error, "wait", None)
    if isinstance(wait, int):
        answer["Retry-After"] = str(wait)
    return answer


def _sign_in(call: Call, needed: bool) -> None:
    """Authenticate the caller. Raises ``ApiError`` 401 and 400, ``LockedOut``."""
    header = call.request.META.get("HTTP_AUTHORIZATION")
    cookie = call.request.COOKIES.get(COOKIE)
    if header is not None and "," in header:
        raise bad("There are two Authorization headers.")
    if header is not None:
        call.who = _by_basic(call, header)
        if call.who is not None:
            _keep_or_open(call, call.who, cookie)
    elif cookie:
        call.who = app_login.by_cookie(cookie, call.now)
    if call.who is None and (needed or header is not None):
        raise ApiError(401, "not_authenticated", "Sign in with a name and a password.")


def _by_basic(call: Call, header: str) -> SignedIn | None:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = binascii.a2b_base64(text.strip().encode(), strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    for encoding in ("utf-8", "latin-1"):
        try:
            name, colon, password = raw.decode(encoding).partition(":")
        except UnicodeDecodeError:
            continue
        if not colon:
            return None
        if (who := app_login.by_password(call.request, name, password, call.now)) is not None:
            return who
        if raw.isascii():
            return None
    return None


def _keep_or_open(call: Call, who: SignedIn, cookie: str | None) -> None:
    """Use the session whose cookie was sent, or open a new one."""
    known = app_login.by_cookie(cookie, call.now) if cookie else None
    if known is not None and (known.user_id, known.password) == (who.user_id, who.password):
        call.who, call.cookie = known, cookie
    else:
        call.cookie = app_login.open_session(who, call.agent, call.now)


def check_rate(request: HttpRequest) -> None:
    """Count a request for the client's address. Raises ``ApiError`` 429."""
    limit = settings.PUBLIC_REQUESTS_PER_MINUTE
    waits = attempts.limited("public", str(client_address(request)), limit, WINDOW)
    if waits is not None:
        raise ApiError(429, "throttled", "Too many requests.", int(waits.total_seconds()))


def _raw(request: HttpRequest) -> bytes:
    try:
        return read_body(request, LARGEST)
    except ParseError as error:
        raise bad(str(error.detail)) from None


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """Decompress the body and limit the size of the result: a few KB may expand to gigabytes."""
    if encoding.lower() in ("", "identity"):
        return raw
    if encoding.lower() != "gzip":
        raise bad("Send the body as it is, or with gzip.")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = unpack.decompress(raw, LARGEST + 1)
    except zlib.error:
        raise bad("The body is not gzip.") from None
    check_size(len(found), LARGEST)
    if not unpack.eof:
        raise bad("The body is cut off.")
    return found


def _named(sent: Any) -> str:
    """Return a name by which the listener may recognise what an app sent, never with a password in it."""
    if isinstance(sent, dict):
        sent = sent.get("episode") or sent.get("guid") or sent.get("podcast") or sent
    text = sent if isinstance(sent, str) else json.dumps(sent)
    return _CREDENTIALS.sub("//…@", text)[:LONGEST_NAME].encode(errors="replace").decode()


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _check_depth(found: Any) -> None:
    """Check the nesting level by level: a body of thousands of actions has only two levels. Raises
    ``ApiError`` 400."""
    level = [found] if type(found) in _CONTAINERS else []
    for _ in range(DEEPEST):
        level = _inside(level)
        if not level:
            return
    raise bad(f"The body is nested more than {DEEPEST} deep.")


def _inside(level: list[Any]) -> list[Any]:
    """Return the objects and lists that are directly in these."""
    insides = (one.values() if type(one) is dict else one for one in level)
    return [value for inside in insides for value in inside if type(value) in _CONTAINERS]


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
