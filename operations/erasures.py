"""Keeps erased accounts erased, whatever a restore brings back."""

from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from accounts import erasure, ledger
from accounts.models import User
from eventstore import log
from eventstore.erasure import digest_of, purge_stream, tombstoned_with_events, tombstones
from eventstore.failpoints import failpoint
from projections.erasure import CHUNK, erase_history
from projections.failures import unless_away


def known(files: Iterable[Path] = ()) -> set[str]:
    """Return the digests of all accounts known to be erased.

    They come from both stores, as far as these are available, from this machine's ledger and from ``files``.
    Raises ``OSError`` for a file that cannot be read.
    """
    own = Path(settings.ERASURE_LEDGER)
    read = [ledger.read(file) for file in (*files, *([own] if own.exists() else []))]
    stored = (unless_away(ledger.recorded), unless_away(tombstones))
    return set().union(*filter(None, stored), *read)


def text(digests: Iterable[str]) -> bytes:
    """Return the digests as the content of a ledger file."""
    return (ledger.HEADING + "".join(f"{digest}\n" for digest in sorted(digests))).encode()


def reapply(digests: Iterable[str]) -> int:
    """Erase again those of these accounts that exist or have a history; return how many did.

    Repeatable: it then finds nothing, or what a killed run left.
    """
    wanted = set(digests)
    ledger.record(wanted)
    present = {digest_of(pk): pk for pk in (*User.objects.values_list("pk", flat=True), *log.users())}
    again = wanted & present.keys()
    for digest in sorted(again):
        erasure.begin(present[digest], timezone.now())
        erasure.complete(present[digest], erase_history)
        failpoint("reapplied")
    # the backup was taken in the middle of an erasure
    for stream in tombstoned_with_events():
        for _ in purge_stream(stream, CHUNK):
            failpoint("purging")
    return len(again)
