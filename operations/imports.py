"""Importing what a listener has on another sync server, while the operator waits."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

from django.utils import timezone

from accounts import import_texts
from accounts.import_models import AlreadyRunning, ServerImport
from accounts.models import User
from accounts.usernames import username_key
from eventstore.domain.identifiers import InvalidIdentifier
from feeds.imports import progress
from feeds.imports.client import server_of
from feeds.imports.progress import KINDS, Progress
from feeds.imports.work import work
from jobs.announcing import announce
from operations.errors import OperatorError
from operations.exclusive import Say


class ImportFailed(OperatorError):
    """The request is wrong, or the import ended before everything was here; the text says why."""


def bring(
    address: str,
    name: str,
    password: str,
    username: str,
    say: Say,
    sleep: Callable[[float], None] = time.sleep,
) -> Progress:
    """Run a whole import, with a line of progress now and then; return its report.

    The password is not stored anywhere. Raises ``ImportFailed``.
    """
    row = _claimed(address, name, username)
    report = _Reporter(say)
    try:
        wait: timedelta | None = timedelta(0)
        while wait is not None:
            wait = work(row, password, timezone.now, announce, report)
            if wait is not None:
                say(f"The server failed. It is asked again in {wait.total_seconds():.0f} s.")
                sleep(wait.total_seconds())
                row = _claim(row)
    finally:
        # also when it is interrupted: a new import may begin then
        row.cancel(timezone.now())
    row.refresh_from_db()
    if row.error:
        raise ImportFailed(str(import_texts.ENDS.get(row.error, import_texts.UNKNOWN_END)))
    return progress.decode(bytes(row.progress))


def report_lines(report: Progress) -> Iterator[str]:
    """What was imported, what was there already, what was refused and why."""
    yield f"From {import_texts.FLAVOURS[report.flavour]}:"
    for kind in KINDS:
        of = report.of(kind)
        counted = f"{of.new:,} new, {of.known:,} there already, {of.refused:,} refused"
        missed = "; the server did not give all of it" if kind in report.missed else ""
        yield f"  {import_texts.KINDS[kind]}: {counted}{missed}"
    if report.is_short:
        yield "The history there is too long to be read whole: of each episode only the newest came."
    for row in report.rows:
        what = import_texts.ONES[row.kind] % {"number": row.number}
        yield f"  {what}: {import_texts.REFUSALS.get(row.code, import_texts.UNKNOWN_REFUSAL)} {row.text}"


class _Reporter:
    """Prints a line of progress whenever a part is done."""

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, ""

    def __call__(self, state: Progress) -> bool:
        kind = next((kind for kind in KINDS if kind == state.stage), None)
        if kind is not None:
            of = state.of(kind)
            line = f"{import_texts.KINDS[kind]}: {of.new + of.known + of.refused:,}"
            if line != self._last:
                self._say(line)
            self._last = line
        return False


def _claimed(address: str, name: str, username: str) -> ServerImport:
    user = User.objects.filter(username_key=username_key(username), is_active=True).first()
    if user is None:
        raise ImportFailed(f"There is no active account {username}.")
    try:
        row = ServerImport.objects.begin(uuid4(), user.pk, server_of(address), name, "", timezone.now())
    except InvalidIdentifier as error:
        raise ImportFailed(f"Not the address of a server: {error}.") from None
    except AlreadyRunning:
        raise ImportFailed(f"Another import of {username} is under way.") from None
    return _claim(row)


def _claim(row: ServerImport) -> ServerImport:
    claimed = ServerImport.objects.claim(row.pk, timezone.now())
    if claimed is None:
        row.cancel(timezone.now())
        raise ImportFailed("It was stopped on the listener's page, or too many imports are under way.")
    return claimed
