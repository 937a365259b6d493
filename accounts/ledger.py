"""The ledger of erased accounts, from which a restore of an older backup erases them again.

It holds digests of random ids, which identify nobody. It is kept in the system store and, since both stores
may be lost at once, in a file on every machine that erases accounts (``ERASURE_LEDGER``), which backups
include. The tombstones in the events store hold the same digests; ``top_up`` brings store and file up to date
with them.
"""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from accounts.models import ErasedAccount
from eventstore import erasure

logger = logging.getLogger(__name__)

HEADING = "# Erased accounts, for restores (docs/operations.md, Backups). It names nobody; keep it.\n"
# a line that a crash cut short does not match
LINE = re.compile(r"^([0-9a-f]{32})(?:\s|$)", re.MULTILINE)


def record(digests: Iterable[str]) -> None:
    """Add the digests that are missing to the store and to the file.

    If the file cannot be written, the erasure continues: the store has the digest, and ``top_up`` tries
    again.
    """
    wanted = set(digests)
    missing = [ErasedAccount(digest) for digest in sorted(wanted - recorded())]
    ErasedAccount.objects.bulk_create(missing, ignore_conflicts=True)
    file = Path(settings.ERASURE_LEDGER)
    try:
        append(file, wanted)
    except OSError as failure:
        logger.error("The ledger of erased accounts %s cannot be written: %s", file, failure.strerror)


def top_up() -> None:
    """Add every tombstone to the store and to the file, and what the store already has to the file."""
    record(recorded() | erasure.tombstones())


def recorded() -> set[str]:
    """Return the digests in the store."""
    return set(ErasedAccount.objects.values_list("digest", flat=True))


def read(file: Path) -> set[str]:
    """Return the digests in a ledger file. Raises ``OSError``."""
    return set(LINE.findall(file.read_text(errors="replace")))


def append(file: Path, digests: set[str]) -> None:
    """Add missing digests to a ledger file, which is created if need be, and sync it to disk. Raises
    ``OSError``."""
    missing = digests - (read(file) if file.exists() else set())
    lines = "".join(f"{digest} {timezone.now():%Y-%m-%dT%H:%M:%SZ}\n" for digest in sorted(missing))
    if not lines:
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # start with a line break, because a crash may have cut the last line short
    before = "\n" if file.exists() else HEADING
    with open(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as ledger:
        ledger.write(before + lines)
        ledger.flush()
        os.fsync(ledger.fileno())
