"""Running an import as a worker does, but in the process of the test."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.utils import timezone

from accounts.import_models import ServerImport
from accounts.models import User
from eventstore import dispatcher, log
from eventstore.domain.user import User as State
from feeds.imports import progress
from feeds.imports.client import server_of
from feeds.imports.progress import Counts, Progress
from feeds.imports.work import work
from tests import leaks
from tests.imports.servers import NAME, PASSWORD


def begin(
    user: User, address: str, name: str = NAME, password: str = PASSWORD, now: datetime | None = None
) -> ServerImport:
    leaks.remember(password)
    number, now = uuid4(), now or timezone.now()
    return ServerImport.objects.begin(number, user.pk, server_of(address), name, password, now)


def go_on(row: ServerImport, clock: Callable[[], datetime] = timezone.now, **options: Any) -> Any:
    """Run one turn of a worker; return how long to wait for the next, or None."""
    claimed = ServerImport.objects.claim(row.pk, clock())
    assert claimed is not None
    return work(claimed, claimed.secret, clock, lambda events: None, **options)


def bring(user: User, address: str, name: str = NAME, password: str = PASSWORD, **options: Any) -> Progress:
    """Run a whole import; return its report."""
    row = begin(user, address, name, password)
    assert go_on(row, **options) is None
    return report(row)


def report(row: ServerImport) -> Progress:
    row.refresh_from_db()
    return progress.decode(bytes(row.progress))


def counts(progress: Progress) -> dict[str, tuple[int, int, int]]:
    """The numbers of new, known and refused entries for each kind that has any."""
    found = {kind: (of.new, of.known, of.refused) for kind, of in progress.counts.items()}
    return {kind: of for kind, of in found.items() if of != (0, 0, 0)}


def state_of(user: User) -> State:
    return dispatcher.state_of(user.pk).read_whole()


def events_of(user: User) -> int:
    return len(log.read_stream(log.stream_of(user.pk)))


__all__ = ["Counts", "begin", "bring", "counts", "events_of", "go_on", "report", "state_of"]
