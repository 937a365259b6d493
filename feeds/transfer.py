"""One fetch under way: its hops, the settings of libcurl for each hop, and the evaluation of the answers."""

import re
import socket
import time
from functools import lru_cache
from io import BytesIO
from typing import Any

import pycurl

from feeds import addresses, answers
from feeds.addresses import Refused, Target
from feeds.answers import Head
from feeds.outcomes import Config, Hop, Outcome, Request
from feeds.room import room

# bodies of answers other than 200 are read up to this size and discarded, so the connection can be reused
_DISCARDED = 64 * 1024
_FEWEST_FOLLOWERS = 3
# Valid header values: a validator from a server is sent back unchanged, but only if it is on one line.
_SENDABLE = re.compile("[ -~\xa0-\xff]+")
_TLS = {
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_ISSUER_ERROR,
    pycurl.E_SSL_INVALIDCERTSTATUS,
}
_BAD = {
    pycurl.E_FTP_WEIRD_SERVER_REPLY,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_BAD_CONTENT_ENCODING,
    pycurl.E_HTTP2,
    pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9
    92,  # a stream error of HTTP/2, for which pycurl has no name
}
_TOO_LARGE = {pycurl.E_FILESIZE_EXCEEDED, 100}  # 100: a header that libcurl finds too large
_DETAILS = {
    "tls": "no TLS connection that can be trusted",
    "timeout": "did not answer in time",
    "bad_answer": "an answer that is not whole, or not HTTP",
    "too_large": "headers that are too large",
    "unreachable": "could not be reached, or broke the connection off",
}


class Transfer:
    """A request from its first hop to its outcome, driven by the loop of ``feeds.fetch``."""

    def __init__(self, request: Request, config: Config, now: float) -> None:
        self.request = request
        self.number = room.number()
        self.hops: list[Hop] = []
        self.outcome: Outcome | None = None
        self.is_paused = False
        self.is_packed = False
        self._began = now
        self._config = config
        self._rules, self._limits = config.rules, config.limits
        self._wire_bytes = 0
        self._validators = _validators(request)
        self._addresses: tuple[str, ...] = ()
        self._begin(now)
        self.target = Target(request.url, "", "", 0)
        try:
            self.target = addresses.target_of(request.url, self._rules)
        except Refused as refusal:
            self.end("refused", str(refusal), now)

    def _begin(self, now: float) -> None:
        """Start a hop."""
        self._hop_began = now
        self._head = Head()
        self._body = BytesIO()
        self._stopped: tuple[str, str] | None = None

    @property
    def lookup_until(self) -> float:
        return min(self._hop_began + self._limits.connect_s, self._began + self._limits.total_s)

    def may_connect(self, found: tuple[str, ...]) -> bool:
        """Whether all addresses of the host are allowed: a single forbidden one rules out the whole host."""
        return all(addresses.is_allowed(address, self._rules.networks) for address in found)

    def prepare(self, handle: Any, found: tuple[str, ...], now: float) -> None:
        """Set up ``handle`` (from ``new_handle`` or an earlier hop) for this hop and these addresses."""
        self._addresses = found
        rest = max(0.001, self._began + self._limits.total_s - now)
        is_name = addresses.literal(self.target.host) is None
        setopt = handle.setopt
        setopt(pycurl.URL, self.target.url)
        if self.request.form:
            setopt(pycurl.POSTFIELDS, self.request.form)
        else:
            setopt(pycurl.HTTPGET, 1)
        setopt(pycurl.TIMEOUT_MS, max(1, round(rest * 1000)))
        setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(min(rest, self.lookup_until - now) * 1000)))
        setopt(pycurl.HTTPHEADER, self._headers())
        setopt(pycurl.RESOLVE, [_known_as(self.target, found)] if is_name else [])
        setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        setopt(pycurl.HEADERFUNCTION, self._take_header)
        setopt(pycurl.WRITEFUNCTION, self._take_body)

    def _headers(self) -> list[bytes]:
        request = self.request
        own = _own_headers(self._config, request.followers, request.accept)
        secret = [f"Authorization: {request.authorization}".encode()] if request.authorization else []
        return [*own, *self._validators, *secret]

    def _open_socket(self, purpose: int, peer: Any) -> Any:
        """Create a socket for libcurl: the only place where connections are made, so that no forbidden
        address is reached."""
        ip, port = peer.addr[0], peer.addr[1]
        if not self._is_open(ip, port):
            self._stopped = ("refused", "an address that is not of the public internet")
            return pycurl.SOCKET_BAD
        return _Socket(peer.family, peer.socktype, peer.protocol)

    def _is_open(self, ip: str, port: int) -> bool:
        is_ours = not addresses.is_opened(ip, self._rules.networks) and _is_local(ip)
        return port in self._rules.ports and addresses.is_allowed(ip, self._rules.networks) and not is_ours

    def _take_header(self, line: bytes) -> int | None:
        """libcurl's callback for headers: any result but None ends the transfer."""
        was_complete = self._head.complete
        self._head.add(line)
        if self._head.size > self._limits.header_bytes:
            return self._stop("too_large", f"more than {self._limits.header_bytes} bytes of headers")
        if was_complete or not self._head.complete:
            return None
        if self._head.status == 200:
            fault = self._head.fault(self.request.max_body)
            return self._stop(*fault) if fault else None
        return -1 if self._head.announced() > _DISCARDED else None

    def _take_body(self, data: bytes) -> int | None:
        """libcurl's callback for the body, still compressed as it was received."""
        size = self._body.tell() + len(data)
        if self._head.status != 200:
            self._body.seek(size)
            return -1 if size > _DISCARDED else None
        if size > self.request.max_body:
            return self._stop("too_large", f"more than {self.request.max_body} bytes")
        if not room.take(self.number, size):
            self.is_paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        self._body.write(data)
        return None

    def _stop(self, code: str, detail: str) -> int:
        self._stopped = (code, detail)
        return -1

    def complete(self, handle: Any, errno: int, now: float) -> None:
        """Handle the end of a hop in libcurl: it leads to an outcome, a body to decompress, or a next hop."""
        self._wire_bytes += int(handle.getinfo(pycurl.SIZE_DOWNLOAD_T)) + int(
            handle.getinfo(pycurl.HEADER_SIZE)
        )
        peer = handle.getinfo(pycurl.PRIMARY_IP)
        # the addresses that libcurl was given have been checked already
        if peer and peer not in self._addresses and not addresses.is_allowed(peer, self._rules.networks):
            self._stopped = ("refused", "an address that is not of the public internet")
        if self._stopped is not None:
            self.end(*self._stopped, now)
        elif errno and (self._head.status in (0, 200) or not self._head.complete):
            code = _code_of_error(errno)
            self.end(code, _DETAILS[code], now)
        elif 300 <= self._head.status < 400 and self._head.status != 304:
            self._redirect(now)
        else:
            self._judge(now)

    def _redirect(self, now: float) -> None:
        location = self._head.location
        if location is None:
            self.end("bad_answer", "a redirect that leads nowhere", now)
            return
        if self.request.form and self._head.status not in (307, 308):
            self.end("bad_answer", "a redirect that would lose the form", now)
            return
        try:
            to = addresses.redirect_of(self.target, location, self._rules)
        except Refused as refusal:
            self.end("bad_answer" if refusal.malformed else "refused", str(refusal), now)
            return
        if len(self.hops) == self._limits.redirects or to.url in self._visited():
            self.end("too_many_redirects", f"{len(self.hops) + 1} redirects, or a loop", now)
            return
        if self.request.authorization and not _is_same_server(self.target, to):
            self.end("elsewhere", "a redirect to a server that must not get the password", now)
            return
        self.hops.append(Hop(self.target.url, self._head.status, to.url))
        self.target = to
        self._begin(now)

    def _visited(self) -> set[str]:
        return {self.target.url, *(hop.url for hop in self.hops)}

    def _judge(self, now: float) -> None:
        """Evaluate the status of an answer that arrived."""
        code = answers.code_of(self._head.status, conditional=bool(self._validators))
        self.is_packed = code == "ok" and self._head.is_gzip
        if self.is_packed:
            return
        body = self._body.getvalue() if code == "ok" else b""
        self.end(
            code, "" if body or code in ("ok", "not_modified") else f"HTTP {self._head.status}", now, body
        )

    def unpack(self, now: float) -> bool:
        """Decompress the body; False where there is no memory for it yet."""
        size = self._body.tell()
        most = answers.decoded_at_most(size, self.request.max_body, self._limits)
        if not room.take(self.number, size + most):
            return False
        self.is_packed = False
        try:
            body = answers.gunzip(self._body.getvalue(), most)
        except ValueError as error:
            self.end("bad_answer", str(error), now)
            return True
        if body is None:
            self.end("too_large", f"more than {most} bytes when unpacked", now)
        else:
            self.end("ok", "", now, body)
        return True

    def end(self, code: str, detail: str, now: float, body: bytes = b"") -> None:
        """Set the outcome. Its body counts towards the memory in use until the loop releases it."""
        self._body = BytesIO()
        room.take(self.number, len(body)) if body else room.give_back(self.number)
        self.outcome = Outcome(
            request=self.request,
            code=code,
            status=self._head.status or None,
            url=self.target.url,
            hops=self.hops,
            headers=self._head.plain(),
            body=body,
            detail=detail,
            retry_after_s=answers.retry_after(self._head.value("retry-after"), time.time()),
            seconds=now - self._began,
            wire_bytes=self._wire_bytes,
        )


def new_handle() -> Any:
    """Return a curl handle with the settings that all fetches share."""
    handle = pycurl.Curl()
    handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    handle.setopt(pycurl.PROXY, "")  # use no proxy, not even one from the environment
    handle.setopt(pycurl.NOPROXY, "*")
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
    handle.setopt(pycurl.HTTP09_ALLOWED, 0)
    handle.setopt(pycurl.FOLLOWLOCATION, 0)
    handle.setopt(pycurl.BUFFERSIZE, 64 * 1024)
    return handle


class _Socket(socket.socket):
    """A socket that closes when deleted, without Python's warning; libcurl uses a duplicate of it."""

    def __del__(self) -> None:
        self.close()


def user_agent(config: Config, followers: int | None) -> str:
    """Return the User-Agent: where to read about us, and the followers, rounded to one significant digit.

    Both are omitted for a secret feed (``followers`` None), whose address would tell its publisher which
    listener it belongs to.
    """
    if followers is None:
        return config.agent
    rounded = round(followers, 1 - len(str(followers)))
    count = f"; {rounded} followers" if followers >= _FEWEST_FOLLOWERS else ""
    return f"{config.agent} (+{config.public_url}/about/fetcher{count})"


@lru_cache(maxsize=1_024)
def _own_headers(config: Config, followers: int | None, accept: str) -> tuple[bytes, ...]:
    names = (f"User-Agent: {user_agent(config, followers)}", f"Accept: {accept}", "Accept-Encoding: gzip")
    return tuple(header.encode() for header in names)


def _validators(request: Request) -> list[bytes]:
    """Return headers for those of the request's validators that can be sent."""
    named = (("If-None-Match", request.etag), ("If-Modified-Since", request.last_modified))
    return [f"{name}: {value}".encode("latin-1") for name, value in named if _SENDABLE.fullmatch(value)]


def _is_same_server(target: Target, to: Target) -> bool:
    """Whether two targets are the same server; moving from http to https on it counts as the same."""
    is_safer = (target.scheme, target.port, to.scheme, to.port) == ("http", 80, "https", 443)
    return target.host == to.host and ((target.scheme, target.port) == (to.scheme, to.port) or is_safer)


def _known_as(target: Target, found: tuple[str, ...]) -> str:
    """Return the addresses of a host in libcurl's form, so that libcurl looks up none itself."""
    written = ",".join(f"[{address}]" if ":" in address else address for address in found)
    return f"+{target.host}:{target.port}:{written}"


def _is_local(ip: str) -> bool:
    """Whether ``ip`` is an address of this machine: packets to it would be sent from that same address."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ip, 9))
            return bool(probe.getsockname()[0] == ip)
        except OSError:
            return False


def _code_of_error(errno: int) -> str:
    if errno == pycurl.E_OPERATION_TIMEDOUT:
        return "timeout"
    for code, errors in (("tls", _TLS), ("bad_answer", _BAD), ("too_large", _TOO_LARGE)):
        if errno in errors:
            return code
    return "unreachable"
