"""Runs statements from an event loop, over one connection, without a thread.

libpq's pipeline mode: statements are sent whether or not earlier ones have been answered. What requests ask
in one turn of the loop is sent together as a group, and answered together. A thread that waits for PostgreSQL
costs three times as much processor time as that, most of it for taking turns with the event loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from eventstore.prepared import Prepared
from projections.connect import connect
from projections.failures import is_outage

# Seconds that a request waits for its rows, and until a connection that failed is opened again.
TIMEOUT, PAUSE = 0.5, 5.0
# statements that are waited for at one time
MOST_WAITING: Final = 256
logger = logging.getLogger(__name__)

Row: TypeAlias = Sequence[bytes | None]
# None: the rows cannot be had now, or not from here
Answer: TypeAlias = "asyncio.Future[list[Row] | None]"


class OutcomeUnknown(psycopg.OperationalError):
    """The connection broke, so that nobody knows whether what was sent has been recorded."""


class Asked(NamedTuple):
    """A statement that was asked for ``at`` a time of the loop, its parameters, who waits for its rows, and
    its place among others (``Appends``)."""

    statement: Prepared
    values: Sequence[bytes]
    answer: Answer
    at: float
    order: int


class Pipeline:
    """A connection to the store ``alias``, for statements that read. It is opened in the background when it
    is first needed. For one event loop.

    A group whose statement fails, or which is not answered in time, ends the connection.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._connection: psycopg.Connection[Any] | None = None
        self._socket = -1
        self._opening: asyncio.Future[psycopg.Connection[Any]] | None = None
        self._opens_at = 0.0
        self._prepared: set[Prepared] = set()
        # what is to be sent, and the groups that were sent and not answered yet
        self._gathered: list[Asked] = []
        self._groups: deque[Sequence[Asked]] = deque()
        self._waiting = 0
        # what has arrived of the oldest group
        self._rows: list[list[Row]] = []
        self._failure: psycopg.Error | None = None
        self._watch: asyncio.TimerHandle | None = None

    def ask(self, statement: Prepared, values: Mapping[str, bytes], order: int = 0) -> Answer:
        """Send a statement. The answer is its rows, as text; or None while there is no connection, when too
        many wait, or when the server does not answer in time. ``values`` are texts in UTF-8."""
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        if self._connection is None:
            self._open(loop)
        if self._connection is None or self._waiting >= MOST_WAITING or self._is_stuck(loop):
            answer.set_result(None)
            return answer
        self._waiting += 1
        self._gathered.append(Asked(statement, statement.ordered(values), answer, loop.time(), order))
        if len(self._gathered) == 1:
            loop.call_soon(self._send)
        self._watch = self._watch or loop.call_later(TIMEOUT, self._check, loop)
        return answer

    def _is_stuck(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it makes no sense to wait for this connection."""
        return False

    def _send(self) -> None:
        """Send what was gathered, as a group."""
        if self._connection is None or not self._gathered:
            return
        group, self._gathered = self._gathered, []
        pgconn = self._connection.pgconn
        try:
            self._prepare(pgconn, {asked.statement for asked in group})
            self._groups.append(group)
            for asked in group:
                pgconn.send_query_prepared(asked.statement.name, asked.values)
            pgconn.pipeline_sync()
            if pgconn.flush():
                asyncio.get_running_loop().add_writer(self._socket, self._flush)
        except psycopg.Error as failure:
            self._close(failure)

    def _prepare(self, pgconn: PGconn, statements: set[Prepared]) -> None:
        """Prepare those that are new to the connection, in a group of their own: within another, a failure
        before them would keep the server from preparing them."""
        if not (new := statements - self._prepared):
            return
        for statement in new:
            pgconn.send_prepare(statement.name, statement.text)
        pgconn.pipeline_sync()
        self._prepared |= new
        self._groups.append(())

    def _flush(self) -> None:
        """Send more of what did not fit into the socket's buffer."""
        assert self._connection is not None
        try:
            if not self._connection.pgconn.flush():
                asyncio.get_running_loop().remove_writer(self._socket)
        except psycopg.Error as failure:
            self._close(failure)

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._opening is None and loop.time() >= self._opens_at:
            self._opening = loop.run_in_executor(None, _opened, self._alias)
            self._opening.add_done_callback(self._use)

    def _use(self, opening: "asyncio.Future[psycopg.Connection[Any]]") -> None:
        loop, self._opening = opening.get_loop(), None
        if opening.cancelled():
            return
        if failure := opening.exception():
            self._opens_at = loop.time() + PAUSE
            _report(failure)
            return
        self._connection = opening.result()
        self._prepared.clear()
        self._socket = self._connection.fileno()
        loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        """Give what has arrived to those who wait for it."""
        assert self._connection is not None
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
            while self._groups and not pgconn.is_busy():
                if (result := pgconn.get_result()) is not None:
                    self._take(result)
        except psycopg.Error as failure:
            self._close(failure)

    def _take(self, result: PGresult) -> None:
        """Take the rows of a statement, or the end of a group."""
        match result.status:
            case ExecStatus.TUPLES_OK:
                columns = range(result.nfields)
                rows: list[Row] = [
                    [result.get_value(row, each) for each in columns] for row in range(result.ntuples)
                ]
                self._rows.append(rows)
            case ExecStatus.COMMAND_OK | ExecStatus.PIPELINE_ABORTED:
                pass  # prepared; or not executed, because of an earlier failure
            case ExecStatus.PIPELINE_SYNC:
                rows_of_group, failure = self._rows, self._failure
                self._rows, self._failure = [], None
                self._end_group(self._groups.popleft(), rows_of_group, failure)
            case _:
                self._failure = self._failure or psycopg.errors.error_from_result(result)

    def _end_group(
        self, group: Sequence[Asked], rows: Sequence[list[Row]], failure: psycopg.Error | None
    ) -> None:
        """Hand out the rows of a group. Raises its ``failure``."""
        if failure is not None:
            self._answer(group)
            raise failure
        self._answer(group, rows)

    def _answer(self, group: Sequence[Asked], rows: Iterable[list[Row] | None] = repeat(None)) -> None:
        """Give each its rows, or None."""
        self._waiting -= len(group)
        for asked, found in zip(group, rows, strict=False):
            if not asked.answer.done():  # else the client has disconnected
                asked.answer.set_result(found)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look whether anybody has waited for too long."""
        self._watch = None
        if self._oldest() <= loop.time() - TIMEOUT:
            self._close(TimeoutError())
        if self._waiting:
            self._watch = loop.call_later(TIMEOUT, self._check, loop)

    def _oldest(self) -> float:
        """Return when the oldest statement was asked for."""
        groups = (group[0].at for group in (*self._groups, self._gathered) if group)
        return next(groups, float("inf"))

    def _close(self, failure: Exception) -> None:
        """Close the connection. Those who wait get no rows; a new connection is opened later."""
        assert self._connection is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._connection.close()
        self._connection, self._opens_at = None, loop.time() + PAUSE
        self._rows, self._failure = [], None
        _report(failure)
        while self._groups:
            self._lose(self._groups.popleft())
        gathered, self._gathered = self._gathered, []
        self._answer(gathered)

    def _lose(self, group: Sequence[Asked]) -> None:
        """Answer a group that was sent over a connection that broke."""
        self._answer(group)


class Appends(Pipeline):
    """A connection for statements that append, each to a stream of its own, whose id is its ``order``.

    Those of a group are one transaction, and so share a commit, which waits for the disk. While one group is
    being recorded, the next gathers. Groups take locks in the order of streams, so that those of two
    processes never wait for each other. Of a group that fails nothing is recorded; its answers are None. If
    the connection breaks, awaiting the answer of a statement that was sent raises ``OutcomeUnknown``.
    """

    _sent_at = 0.0

    def _is_stuck(self, loop: asyncio.AbstractEventLoop) -> bool:
        return bool(self._groups) and loop.time() > self._sent_at + TIMEOUT

    def _send(self) -> None:
        if self._groups:
            return
        self._sent_at = asyncio.get_running_loop().time()
        self._gathered.sort(key=lambda asked: asked.order)
        super()._send()

    def _end_group(
        self, group: Sequence[Asked], rows: Sequence[list[Row]], failure: psycopg.Error | None
    ) -> None:
        self._answer(group, rows if failure is None else repeat(None))
        if failure is not None and not group:
            raise failure  # a statement could not be prepared
        self._send()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let those go who have not been sent and have waited for too long; what was sent may be recorded."""
        self._watch = None
        if self._is_stuck(loop):
            gathered, self._gathered = self._gathered, []
            self._answer(gathered)
        if self._waiting:
            self._watch = loop.call_later(TIMEOUT, self._check, loop)

    def _lose(self, group: Sequence[Asked]) -> None:
        self._waiting -= len(group)
        for asked in group:
            if not asked.answer.done():
                asked.answer.set_exception(OutcomeUnknown("the connection broke"))


def _report(failure: BaseException) -> None:
    # of a store that is unavailable, the requests that Django answers report it
    if not (isinstance(failure, Exception) and is_outage(failure)):
        logger.warning("No pipeline for %s s: %s", PAUSE, type(failure).__name__)


def _opened(alias: str) -> psycopg.Connection[Any]:
    """Open a connection in pipeline mode. Raises ``psycopg.Error``, or Django's."""
    connection = connect(alias)
    connection.pgconn.nonblocking = 1
    connection.pgconn.enter_pipeline_mode()
    return connection
