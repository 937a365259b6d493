"""Imports of listeners' data from other sync servers, one row for each import. Store: system."""

import uuid
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import ClassVar, Final

from cryptography.fernet import Fernet, InvalidToken
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac

# how long a worker holds an import without reporting its progress: longer than a server may take to answer
LEASE: Final = timedelta(minutes=4)
# while no request to a server is under way
SHORT_LEASE: Final = timedelta(minutes=1)
# after this an import is ended in any case, and the password for the other server deleted
LONGEST: Final = timedelta(hours=6)
# how long reports of ended imports are kept; a later import from the same server uses them as well
KEPT: Final = timedelta(days=365)
# imports at a time, of all listeners: feeds that somebody waits for are fetched by the same worker
MOST_AT_ONCE: Final = 3
# an import that workers have claimed this often without progress ends with an error
MOST_CLAIMS: Final = 40


class AlreadyRunning(Exception):
    """The listener has another import that has not ended."""


class ServerImportManager(models.Manager["ServerImport"]):
    def begin(
        self, number: uuid.UUID, user_id: uuid.UUID, server: str, name: str, password: str, now: datetime
    ) -> "ServerImport":
        """Create an import for a worker to run; returns the existing one if its ``number`` was used before.

        Without a password no worker takes it. Raises ``AlreadyRunning``.
        """
        made = ServerImport(id=number, user_id=user_id, server=server, name=name, started_at=now, next_at=now)
        made.password = made.cipher().encrypt(password.encode()) if password else b""
        try:
            with transaction.atomic(using="system"):
                made.save(force_insert=True)
        except IntegrityError:
            known = self.filter(pk=number, user_id=user_id).first()
            if known is None:
                raise AlreadyRunning from None
            return known
        return made

    def claim(self, number: uuid.UUID, now: datetime) -> "ServerImport | None":
        """Take the lease of an import, which must be renewed by reporting progress at least every ``LEASE``.

        None if another worker has it, it has ended, or too many imports are running.
        """
        unended = self.filter(ended_at=None)
        if unended.exclude(pk=number).filter(leased_until__gt=now).count() >= MOST_AT_ONCE:
            return None
        free = unended.filter(Q(leased_until=None) | Q(leased_until__lte=now), user__is_active=True)
        until = now + LEASE
        if not free.filter(pk=number).update(leased_until=until, claims=models.F("claims") + 1):
            return None
        return self.filter(pk=number, leased_until=until).first()

    def waiting(self, now: datetime) -> list[uuid.UUID]:
        """Return the ids of imports that a worker may take now."""
        free = self.filter(Q(leased_until=None) | Q(leased_until__lte=now), ended_at=None, next_at__lte=now)
        free = free.exclude(password=b"")
        return list(free.order_by("next_at").values_list("pk", flat=True)[: 2 * MOST_AT_ONCE])

    def end_overdue(self, now: datetime) -> int:
        """End imports that take too long or fail again and again, and delete old reports. Returns how many
        were ended."""
        self.filter(ended_at__lte=now - KEPT).delete()
        overdue = self.filter(Q(started_at__lte=now - LONGEST) | Q(claims__gt=MOST_CLAIMS), ended_at=None)
        abandoned = self.filter(ended_at=None, password=b"", leased_until__lte=now)
        return (overdue | abandoned).update(ended_at=now, error="given_up", password=b"", leased_until=None)


class ServerImport(models.Model):
    """One import. ``server`` is an address without credentials, ``name`` the account there.

    ``password``: for that account, encrypted with a key derived from SECRET_KEY and ``id``; emptied when the
    import ends. ``progress``: of ``feeds.imports.progress``, as JSON. ``error``: why it ended before
    everything was imported, or "". ``leased_until``: until when a worker holds it; ``next_at``: when a worker
    may take it next.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="server_imports")
    server = models.TextField()
    name = models.TextField()
    password = models.BinaryField(default=b"", editable=False)
    progress = models.BinaryField(default=b"", editable=False)
    error = models.CharField(max_length=40, blank=True)
    claims = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    next_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, db_index=True)

    objects: ClassVar[ServerImportManager] = ServerImportManager()

    class Meta:
        db_table = '"system"."server_imports"'
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(ended_at=None), name="server_imports_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return str(self.id)

    def cipher(self) -> Fernet:
        key = salted_hmac("accounts.ServerImport", str(self.id), algorithm="sha256").digest()
        return Fernet(urlsafe_b64encode(key))

    @property
    def secret(self) -> str:
        """The password; "" if it has been deleted, or if SECRET_KEY has changed."""
        try:
            return self.cipher().decrypt(bytes(self.password)).decode() if self.password else ""
        except InvalidToken:
            return ""

    def keep(self, progress: bytes, now: datetime, lease: timedelta = LEASE) -> bool:
        """Store the progress and renew the lease; False if the lease was lost: the import was cancelled, or
        the worker was believed dead."""
        until = now + lease
        kept = self._held().update(progress=progress, leased_until=until, claims=0)
        self.progress, self.leased_until = progress, until
        return bool(kept)

    def put_off(self, until: datetime, progress: bytes | None = None) -> None:
        """Release the lease; a worker may take the import again at ``until``."""
        kept = {} if progress is None else {"progress": progress, "claims": 0}
        self._held().update(leased_until=None, next_at=until, **kept)

    def end(self, error: str, progress: bytes, now: datetime) -> bool:
        """End the import and delete its password; False if the lease was lost."""
        ended = {"ended_at": now, "error": error, "password": b"", "leased_until": None}
        return bool(self._held().update(progress=progress, **ended))

    def cancel(self, now: datetime) -> bool:
        """End the import for its listener, whoever holds the lease; False if it had ended already."""
        unended = ServerImport.objects.filter(pk=self.pk, ended_at=None)
        return bool(unended.update(ended_at=now, error="cancelled", password=b"", leased_until=None))

    def _held(self) -> "models.QuerySet[ServerImport]":
        return ServerImport.objects.filter(pk=self.pk, ended_at=None, leased_until=self.leased_until)
