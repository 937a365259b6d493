"""One import as a worker runs it: its progress, and how each part of an answer is recorded exactly once.

The commands made from a part are recorded under an id derived from the import and that part. A part that is
repeated, after a worker has died, is therefore not recorded twice, and yields the same counts.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID, uuid5

from accounts.import_models import LEASE, ServerImport
from eventstore.dispatcher import CommandId, Outcome, dispatch
from eventstore.domain.batch import Batch
from eventstore.domain.messages import Event, Origin
from feeds.imports import progress
from feeds.imports.client import Account
from feeds.imports.progress import Kind, Progress

CAUSE: Final = "import"

Clock = Callable[[], datetime]
# requests fetches of the feeds that these events subscribe to
Announce = Callable[[Iterable[Event]], None]
# called between two parts with the progress; returns whether the worker is to stop
Between = Callable[[Progress], bool]


class Stopped(Exception):
    """The import was cancelled or claimed by another worker, or this worker is to stop."""


class Run:
    """One run of an import. ``account`` includes the password."""

    def __init__(
        self,
        row: ServerImport,
        account: Account,
        clock: Clock,
        announce: Announce,
        between: Between,
    ) -> None:
        self.row, self.account, self.clock = row, account, clock
        self.user_id: UUID = row.user_id
        self.progress = progress.decode(bytes(row.progress))
        self._announce, self._between = announce, between
        self._origin = Origin(device_name=account.host, cause=CAUSE)

    def order(self, command: Callable[..., Any], **fields: Any) -> Any:
        """Make a command of the listener, dated at the start of the import."""
        return command(user_id=self.user_id, now=self.clock(), at=self.row.started_at, **fields)

    def keep(self, lease: timedelta = LEASE) -> None:
        """Save the progress and extend the lease on the import. Raises ``Stopped``."""
        if not self.row.keep(progress.encode(self.progress), self.clock(), lease):
            raise Stopped
        if self._between(self.progress):
            self.row.put_off(self.clock())
            raise Stopped

    def put_off(self, until: datetime) -> None:
        self.row.put_off(until, progress.encode(self.progress))

    def end(self, error: str) -> None:
        if not error:
            self.progress.stage = "done"
        self.row.end(error, progress.encode(self.progress), self.clock())

    def record(
        self,
        kind: Kind,
        part: bytes,
        make: Callable[[], Iterable[Any]],
        counted: type[Event] | tuple[type[Event], ...],
        number: int,
    ) -> None:
        """Record the commands that ``make`` creates from a ``part``, and count the results: those of
        ``number`` items that led to an event of the types ``counted`` are new.

        Raises what ``dispatch`` raises.
        """
        digest = blake2b(kind.encode() + b"\n" + part, digest_size=16).digest()
        name = CommandId(uuid5(self.row.id, digest.hex()), digest)

        def new(outcome: Outcome) -> bytes:
            return b"%d" % sum(isinstance(event, counted) for event in outcome.events)

        batch = Batch(user_id=self.user_id, now=self.clock(), orders=tuple(make()))
        outcome = dispatch(batch, self._origin, command_id=name, answer=new)
        self._announce(outcome.events)
        self.progress.position = max(self.progress.position, outcome.position)
        recorded = int(outcome.answer)
        self.progress.part.new += recorded
        self.progress.part.known += number - recorded
