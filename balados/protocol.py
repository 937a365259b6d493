"""HTTP/1.1 as uvicorn speaks it, with limits and deadlines for each connection, and with an answer for every
request that is refused before there is an application to ask.

uvicorn limits neither the size of a request's head (its first line and headers) nor the time that it takes,
and waits without end for a client that does not read its answer.
"""

import asyncio
import re
from math import inf
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from balados import environment, requests
from balados.buffering import (
    BYTES_PER_SECOND,
    LARGEST_HEADERS,
    LONGEST_ADDRESS,
    Refused,
    headers_too_large,
    refusal,
)

# Bytes of a head that are awaited. They leave room for balados/buffering.py to refuse large ones, since the
# path, and with it the format of errors, is known there.
LARGEST_HEAD: Final = LONGEST_ADDRESS + 2 * LARGEST_HEADERS
# Seconds: a head has HEAD_TIME to arrive. An answer has ANSWER_TIME to be read, and one more for every
# BYTES_PER_SECOND bytes. A client that is refused while it sends has CLOSING_TIME to end.
HEAD_TIME, ANSWER_TIME, CLOSING_TIME = 10.0, 30.0, 2.0
# Requests that may wait on one connection for the answers to earlier ones. No more are read, and the last
# answer says that the connection ends.
MOST_PIPELINED: Final = 64
# connections that a process holds at once, idle and slow ones included
CONNECTIONS: Final = 4096
# Bytes of answers that are not read yet, in one process. As much again may wait for its turn on the same
# connections.
MOST_UNREAD: Final = (32 if environment.SMALL else 128) * 1024 * 1024

VERSIONS: Final = ("1.1", "1.0")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
NOT_ASCII: Final = re.compile(rb"[^\x00-\x7f]")
NOT_HTTP: Final = Refused(400, "bad_request", "The request is not valid HTTP, or its method is unknown.")
LATE: Final = Refused(408, "timeout", "The headers did not come in time.")
BUSY: Final = Refused(503, "busy", "Too many connections at once. Try again later.")


class Unacceptable(Exception):
    """Ends the parsing of a request."""


class Transport:
    """What uvicorn writes to: it sends the head of an answer together with its content, in one system call,
    and closes as ``Protocol.close`` does."""

    def __init__(self, transport: asyncio.Transport, protocol: "Protocol") -> None:
        self._transport, self._waiting = transport, b""
        self.close, self.is_closing = protocol.close, transport.is_closing

    def write(self, data: bytes) -> None:
        if self.is_closing():
            return  # uvicorn does not know yet that the client has gone
        if self._waiting:
            self._transport.writelines((self._waiting, data))
            self._waiting = b""
        elif data == CONTINUE:
            self._transport.write(data)
        else:
            self._waiting = data

    def flush(self) -> None:
        if self._waiting and not self.is_closing():
            self._transport.write(self._waiting)
            self._waiting = b""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._socket, self._writing = transport, Transport(transport, self)
        self.transport = self._writing  # type: ignore[assignment]
        self._head_until, self._answer_until = self.loop.time() + HEAD_TIME, inf
        # bytes that have arrived since a head or a part of a body was complete
        self._undone = 0
        # whether all of the newest request has arrived, and whether what still arrives is ignored
        self._is_whole, self._is_deaf = True, False
        # the answer that ends the connection once earlier requests are answered
        self._last: bytes | None = None
        self.url = b""
        if len(self.connections) > CONNECTIONS:
            self._refuse(BUSY)
            self._socket.close()

    def connection_lost(self, exc: Exception | None) -> None:
        _unread.pop(self, None)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._undone += len(data)
        if self._is_whole and not data.isascii():
            data = _escaped(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We upgrade to nothing: the request is answered as any other, and what follows is not HTTP.
            self._is_deaf, self.cycle.keep_alive = True, False
        except httptools.HttpParserError:
            if len(self.pipeline) >= MOST_PIPELINED:
                self._is_deaf, self._is_whole, self.cycle.keep_alive = True, False, False
            else:
                self._refuse(self._too_large() if len(self.url) > LONGEST_ADDRESS else NOT_HTTP)
        else:
            if self._undone > LARGEST_HEAD:
                self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise Unacceptable
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._is_whole, self._head_until = False, self.loop.time() + HEAD_TIME

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_ADDRESS:
            raise Unacceptable

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in VERSIONS:
            raise Unacceptable
        super().on_headers_complete()
        self._unset_keepalive_if_required()
        self._head_until, self._undone = inf, 0
        self.headers = []  # what follows the body of this request is none of its headers

    def on_body(self, body: bytes) -> None:
        self._undone = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_whole, self._undone = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._writing.flush()
        was_last, self._answer_until = not self.pipeline, inf
        super().on_response_complete()
        if was_last and self._last is not None:
            self._end()

    def pause_writing(self) -> None:
        super().pause_writing()
        _unread[self] = self._socket.get_write_buffer_size()
        while len(_unread) > 1 and sum(_unread.values()) > MOST_UNREAD:
            slowest = next(iter(_unread))
            del _unread[slowest]
            slowest._socket.abort()

    def resume_writing(self) -> None:
        _unread.pop(self, None)
        super().resume_writing()

    def check(self, now: float) -> None:
        """End the connection if a head or the reading of an answer takes too long. ``now``: of the loop's
        clock."""
        unread = self._socket.get_write_buffer_size()
        if not unread:
            self._answer_until = inf
        elif self._answer_until == inf:
            self._answer_until = now + ANSWER_TIME + unread / BYTES_PER_SECOND
        elif self._answer_until < now:
            self._socket.abort()
            return
        if self._head_until >= now:
            return
        if self._is_deaf:
            self._socket.close()
        elif self._is_answering():
            self._head_until = now + HEAD_TIME  # nothing is read meanwhile
        elif self._undone:
            self._refuse(LATE)
        else:
            self._socket.close()  # a browser opened it in advance

    def close(self) -> None:
        """Close the connection once the answer is sent.

        While the client is still sending, the kernel would reset the connection and could so destroy the
        answer: then only our direction is closed, and what arrives for a while is ignored.
        """
        if self._socket.is_closing():
            return
        self._writing.flush()
        if self._is_whole:
            self._socket.close()
        elif not self._is_deaf or self._head_until == inf:
            self._is_deaf, self._head_until, self._last = True, self.loop.time() + CLOSING_TIME, None
            self.flow.resume_reading()
            self._socket.write_eof()

    def shutdown(self) -> None:
        if self._is_answering():
            super().shutdown()
        else:
            self._socket.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _too_large(self) -> Refused:
        if len(self.url) > LONGEST_ADDRESS:
            return Refused(414, "uri_too_long", f"An address has at most {LONGEST_ADDRESS:,} bytes.")
        return headers_too_large()

    def _refuse(self, reason: Refused) -> None:
        """Answer what arrives last on this connection, after the answers to earlier requests."""
        self._is_deaf, self._is_whole, self._head_until = True, False, inf
        answer = refusal(reason, self.url.decode("latin-1"))
        requests.note("", requests.UNKNOWN, answer.status, 0)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        headers += [(b"connection", b"close"), *self.server_state.default_headers]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self._last = b"".join((STATUS_LINE[answer.status], *lines, b"\r\n", answer.content))
        if not self._is_answering():
            self._end()
        elif self.cycle.more_body and not self.cycle.response_started:  # this is the answer to that request
            if self.pipeline:
                self.pipeline.popleft()
            else:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                self._end()

    def _end(self) -> None:
        if self._last is not None and not self._socket.is_closing():
            self._socket.write(self._last)
            self.close()


def _escaped(data: bytes) -> bytes:
    """Return the beginning of a request with its address in ASCII, if that is UTF-8: ``curl`` sends what was
    typed, and the parser does not take it."""
    line, end, rest = data.partition(b"\r\n")
    if line.isascii():
        return data
    try:
        line.decode()
    except UnicodeDecodeError:
        return data
    return NOT_ASCII.sub(lambda byte: b"%%%02X" % ord(byte[0]), line) + end + rest


# the connections whose clients have not read so many bytes, the slowest first
_unread: dict[Protocol, int] = {}
