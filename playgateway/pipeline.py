"""Runs one statement from an event loop, over one connection, without a thread.

libpq's pipeline mode: each request sends the statement whether or not earlier ones have been answered, and
results come back in the order of the requests. What requests ask in one turn of the loop is sent together,
and answered together. A thread that waits for PostgreSQL costs three
times as much processor time as that, most of it for taking turns with the event loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from projections.connect import connect
from projections.failures import is_outage

# Seconds that a request waits for its row, and until a connection that failed is opened again.
TIMEOUT, PAUSE = 0.5, 5.0
# requests that wait for a row at one time: what they send always fits into the buffer of the socket
MOST_WAITING: Final = 64
NAME: Final = b"balados_pipeline"
logger = logging.getLogger(__name__)

Row: TypeAlias = Sequence[bytes | None]
Waiting: TypeAlias = "tuple[asyncio.Future[Row | None], float]"


class Unavailable(Exception):
    """The row cannot be had now, or not from here."""


class Pipeline:
    """A statement, with parameters ``$1``, ``$2``…, and a connection to the store ``alias``, which is opened
    in the background. For one event loop."""

    def __init__(self, alias: str, statement: str) -> None:
        self._alias, self._statement = alias, statement.encode()
        self._connection: psycopg.Connection[Any] | None = None
        self._socket = -1
        self._opening: asyncio.Future[psycopg.Connection[Any]] | None = None
        self._opens_at = 0.0
        # the futures of rows that have been asked for, and when
        self._waiting: deque[Waiting] = deque()
        # groups of statements that were sent, and whether those sent since are to become one
        self._groups, self._is_ending = 0, False
        self._watch: asyncio.TimerHandle | None = None

    async def first_row(self, *values: bytes) -> Row | None:
        """Return the first row of the result, as text; None if it has no row. ``values`` are texts in UTF-8.

        Raises ``Unavailable`` while there is no connection, or when the server does not answer in time.
        """
        loop = asyncio.get_running_loop()
        if self._connection is None:
            self._open(loop)
            raise Unavailable
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable
        row: asyncio.Future[Row | None] = loop.create_future()
        self._waiting.append((row, loop.time()))
        try:
            self._connection.pgconn.send_query_prepared(NAME, values)
        except psycopg.Error as failure:
            self._close(failure)
        if not self._is_ending:
            self._is_ending = True
            loop.call_soon(self._end_group)
        self._watch = self._watch or loop.call_later(TIMEOUT, self._check, loop)
        return await row

    def _end_group(self) -> None:
        """Send the statements of this turn of the loop."""
        self._is_ending = False
        if self._connection is None:
            return
        try:
            self._connection.pgconn.pipeline_sync()
            self._groups += 1
        except psycopg.Error as failure:
            self._close(failure)

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._opening is None and loop.time() >= self._opens_at:
            self._opening = loop.run_in_executor(None, _prepared, self._alias, self._statement)
            self._opening.add_done_callback(self._opened)

    def _opened(self, opening: "asyncio.Future[psycopg.Connection[Any]]") -> None:
        loop, self._opening = opening.get_loop(), None
        if opening.cancelled():
            return
        if failure := opening.exception():
            self._opens_at = loop.time() + PAUSE
            _report(failure)
            return
        self._connection = opening.result()
        self._socket = self._connection.fileno()
        loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        """Give what has arrived to those who wait for it."""
        assert self._connection is not None
        pgconn = self._connection.pgconn
        try:
            pgconn.flush()
            pgconn.consume_input()
            while self._groups and not pgconn.is_busy():
                if (result := pgconn.get_result()) is not None:
                    self._take(result)
        except psycopg.Error as failure:
            self._close(failure)

    def _take(self, result: PGresult) -> None:
        """Take the rows of a statement, or the end of a group. Raises ``psycopg.Error`` for other results."""
        if result.status == ExecStatus.PIPELINE_SYNC:
            self._groups -= 1
            return
        if result.status != ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
        columns = range(result.nfields)
        row = [result.get_value(0, column) for column in columns] if result.ntuples else None
        waiting, _ = self._waiting.popleft()
        if not waiting.done():  # else the client has disconnected
            waiting.set_result(row)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = None
        if self._waiting and self._waiting[0][1] <= loop.time() - TIMEOUT:
            self._close(TimeoutError())
        if self._waiting:
            self._watch = loop.call_later(TIMEOUT, self._check, loop)

    def _close(self, failure: Exception) -> None:
        """Close the connection. Whoever waits for a row gets ``Unavailable``; a new one is opened later."""
        assert self._connection is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._connection.close()
        self._connection, self._groups, self._opens_at = None, 0, loop.time() + PAUSE
        _report(failure)
        while self._waiting:
            waiting, _ = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(Unavailable())


def _report(failure: BaseException) -> None:
    # of a store that is unavailable, the requests that Django answers report it
    if not (isinstance(failure, Exception) and is_outage(failure)):
        logger.warning("No pipeline for %s s: %s", PAUSE, type(failure).__name__)


def _prepared(alias: str, statement: bytes) -> psycopg.Connection[Any]:
    """Open a connection in pipeline mode. Raises ``psycopg.Error``, or Django's."""
    connection = connect(alias)
    result = connection.pgconn.prepare(NAME, statement)
    if result.status != ExecStatus.COMMAND_OK:
        connection.close()
        raise psycopg.errors.error_from_result(result)
    connection.pgconn.nonblocking = 1
    connection.pgconn.enter_pipeline_mode()
    return connection
