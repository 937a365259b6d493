"""Which streaming replica of the projections a read may go to, where there are any.

A thread in each process that reads looks at every replica once a second, so that no request waits for one
that is away. A replica is read while all that it lacks is younger than
``PROJECTIONS_REPLICA_MAX_LAG_SECONDS``, and its rows come with the position that they reflect: what a caller
has seen already, or what privacy asks for, is read on the primary where the replica has not got it. Whatever
decides anything reads the primary in any case.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count, pairwise
from time import monotonic
from typing import Any, Final, NamedTuple

import django.db
import psycopg
from django.conf import settings

from projections.connect import Connection, discard, parameters
from projections.patience import Impatient

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
# after a read that failed: longer than a look, which may succeed where reads do not (no connection left, say)
LEFT_OUT = 5.0
# one that was too far behind is read again once it is as near as this
CAUGHT_UP = 1.0
# how many looks are remembered: a replica behind more than that tells its lag by the clocks
REMEMBERED = 300
# nobody's fault: the replica applies what the query would see, or somebody cancelled it
HARMLESS = frozenset(("40001", "40P01", "57014"))

OK: Final = "ok"
BEHIND, UNREACHABLE, UNKNOWN = "behind", "unreachable", "unknown"
PROMOTED, FOREIGN = "not a replica", "of another database"

# Of both: how far it is, in bytes of the log and in events, and what tells its database from all others.
# Not the insert position: after a switch of segments it stands behind a header that no replica ever replays.
PRIMARY = """
SELECT (pg_current_wal_lsn() - '0/0')::bigint,
       (SELECT coalesce(max(position), 0) FROM "users"."projector_positions"),
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT oid FROM pg_database WHERE datname = current_database())
"""
REPLICA = """
SELECT (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::bigint,
       (SELECT coalesce(max(position), 0) FROM "users"."projector_positions"),
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT oid FROM pg_database WHERE datname = current_database()),
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::double precision,
       pg_is_in_recovery()
"""


class State(NamedTuple):
    """``word`` is ``ok``, or says why the replica is left out. ``seconds``: how old it is beside the primary;
    ``events``: how many positions behind it. None where that is not known.
    """

    number: int
    word: str
    seconds: float | None
    events: int | None


class Sample(NamedTuple):
    """How far the primary's log was at ``at`` (or later), in bytes."""

    at: float
    wal: int


class Watch:
    """What this process knows of the replicas."""

    def __init__(self, aliases: Sequence[str]) -> None:
        self.aliases = tuple(aliases)
        # until when each may be read, if nothing more is heard of it: its lag grows by a second in a second
        self.good = dict.fromkeys(self.aliases, float("-inf"))
        self._barred = dict.fromkeys(self.aliases, float("-inf"))
        self._states = {
            alias: State(number, UNKNOWN, None, None) for number, alias in enumerate(self.aliases, 1)
        }
        self._samples: deque[Sample] = deque(maxlen=REMEMBERED)
        self._identity: tuple[Any, ...] = ()
        self._position = 0
        self._looked_at = float("-inf")
        self._connections: dict[str, Connection] = {}
        self._looking = threading.Lock()
        self.started = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replicas", daemon=True)

    def start(self) -> None:
        """Look once a second from now on."""
        self.started = True
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self.started:
            self._thread.join()
        with self._looking:
            for connection in self._connections.values():
                discard(connection)

    def states(self) -> list[State]:
        """What the last look found, if it was lately, or that of now. Waits for it 5 seconds at most."""
        if monotonic() - self._looked_at > 2 * LOOK_EVERY and self._looking.acquire(timeout=5.0):
            try:
                self._look()
            finally:
                self._looking.release()
        now = monotonic()
        return [
            state._replace(word=UNKNOWN) if state.word == OK and self.good[alias] <= now else state
            for alias, state in self._states.items()
        ]

    def look(self) -> None:
        with self._looking:
            self._look()

    def bar(self, alias: str, failure: Exception) -> None:
        """Read it no more for some seconds."""
        self._barred[alias] = monotonic() + LEFT_OUT
        self._note(alias, UNREACHABLE, self._states[alias], failure)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("Looking at the replicas failed")
            self._stopped.wait(LOOK_EVERY)

    def _look(self) -> None:
        for alias in self.aliases:
            # each time: another replica may have taken seconds to say nothing
            self._look_at_primary()
            self._look_at(alias)
        self._looked_at = monotonic()

    def _look_at_primary(self) -> None:
        """Where it is away, what was known of it lately goes on for as long as a replica may lag."""
        at = monotonic()
        try:
            wal, self._position, *identity = self._ask("projections", PRIMARY)
        except psycopg.Error:
            return
        samples = self._samples
        if tuple(identity) != self._identity or (samples and wal < samples[-1].wal):
            # another server has taken its place
            samples.clear()
        elif len(samples) > 1 and samples[-2].wal == wal:
            # when it came so far, and when it still was no further, is all that there is to know
            samples.pop()
        self._identity = tuple(identity)
        samples.append(Sample(at, wal))

    def _look_at(self, alias: str) -> None:
        state = self._states[alias]
        try:
            wal, position, *identity, age, in_recovery = self._ask(alias, REPLICA)
        except psycopg.Error as failure:
            self._note(alias, UNREACHABLE, state._replace(seconds=None, events=None), failure)
            return
        if not self._samples:
            self._note(alias, UNKNOWN, state._replace(seconds=None, events=None))
            return
        as_of = self._as_of(wal, age)
        lag = monotonic() - as_of
        seconds = lag if lag != float("inf") else None
        state = state._replace(seconds=seconds, events=max(0, self._position - position))
        word = self._word(alias, lag, tuple(identity), in_recovery)
        self._note(alias, word, state, until=as_of + settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS)

    def _word(self, alias: str, lag: float, identity: tuple[Any, ...], in_recovery: bool) -> str:
        if identity != self._identity:
            return FOREIGN
        if not in_recovery:
            return PROMOTED
        limit = settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS
        if self._states[alias].word == BEHIND:
            limit = min(limit, CAUGHT_UP)
        if lag >= limit:
            return BEHIND
        # a read failed a moment ago, whatever this look says
        return UNREACHABLE if monotonic() < self._barred[alias] else OK

    def _as_of(self, wal: int, age: float | None) -> float:
        """Up to when everything that the primary did is in a replica that has come to ``wal``.

        By the primary's log, not by the replica's clock: on a quiet primary the newest transaction is old,
        and nothing is missing all the same.
        """
        samples = self._samples
        if wal >= samples[-1].wal:
            return samples[-1].at
        for later, earlier in pairwise(reversed(samples)):
            if earlier.wal <= wal:
                share = (wal - earlier.wal) / (later.wal - earlier.wal)
                return earlier.at + share * (later.at - earlier.at)
        # behind all that this process has seen
        return float("-inf") if age is None else min(samples[0].at, monotonic() - age)

    def _note(
        self,
        alias: str,
        word: str,
        state: State,
        failure: Exception | None = None,
        until: float = float("-inf"),
    ) -> None:
        before = self._states[alias].word
        self._states[alias] = state._replace(word=word)
        self.good[alias] = until if word == OK else float("-inf")
        if word == before:
            return
        if word == OK:
            logger.info("Replica %s of the projections is read", state.number)
        elif word != UNKNOWN:
            reason = str(failure).partition("\n")[0] if failure else word
            logger.warning("Replica %s of the projections is left out: %s", state.number, reason)

    def _ask(self, alias: str, statement: str) -> tuple[Any, ...]:
        connection = self._connections.get(alias)
        try:
            if connection is None or connection.closed:
                connection = Impatient.connect(**parameters(alias, "balados-replicas"))
                self._connections[alias] = connection
            rows: list[tuple[Any, ...]] = connection.execute(statement).fetchall()
            return rows[0]
        except psycopg.Error:
            discard(self._connections.pop(alias, None))
            raise


def choose() -> str | None:
    """The alias of a replica for one read; None where it has to be the primary. Asks nobody."""
    if not settings.PROJECTIONS_REPLICAS or _on_primary.get():
        return None
    now = monotonic()
    good = [alias for alias, until in _watching().good.items() if until > now]
    return good[next(_turns) % len(good)] if good else None


@contextmanager
def primary() -> Iterator[None]:
    """In this block every read goes to the primary."""
    before = _on_primary.set(True)
    try:
        yield
    finally:
        _on_primary.reset(before)


def failed(alias: str, failure: Exception) -> None:
    """A read on this replica failed, and was repeated on the primary."""
    reason = failure.__cause__ if isinstance(failure, django.db.Error) else failure
    if isinstance(reason, psycopg.OperationalError) and reason.sqlstate in HARMLESS:
        return
    if isinstance(reason, psycopg.OperationalError | psycopg.InterfaceError):
        _watching().bar(alias, failure)


def state() -> list[State]:
    """Of every replica, in the order of ``PROJECTIONS_REPLICA_URLS``; none where there is none."""
    return _known().states() if settings.PROJECTIONS_REPLICAS else []


def look() -> None:
    """Look at every replica now, instead of within the second."""
    _known().look()


def forget() -> None:
    """End the thread, and drop what this process knows of replicas."""
    global _watch
    with _making:
        watch, _watch = _watch, None
    if watch is not None:
        watch.stop()


_on_primary: ContextVar[bool] = ContextVar("on_primary", default=False)
_turns = count()
_making = threading.Lock()
_watch: Watch | None = None


def _known() -> Watch:
    """Made on first use: most processes never ask."""
    global _watch
    with _making:
        if _watch is None:
            _watch = Watch(settings.PROJECTIONS_REPLICAS)
        return _watch


def _watching() -> Watch:
    """With the thread at work."""
    watch = _watch
    if watch is None or not watch.started:
        watch = _known()
        with _making:
            if not watch.started:
                watch.start()
    return watch


def _forked() -> None:
    """A child has no thread, and its parent's connections are none of its own."""
    global _watch, _making
    _watch, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)
