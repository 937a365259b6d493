"""What listeners bring along from another sync server: one row for each import. Store: system."""

import uuid
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import ClassVar, Final

from cryptography.fernet import Fernet, InvalidToken
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac

# so long a worker has an import for itself without telling how far it is: longer than a server may take
LEASE: Final = timedelta(minutes=4)
# while nothing is asked of a server
SHORT_LEASE: Final = timedelta(minutes=1)
# the password for the other server is kept no longer, whatever comes
LONGEST: Final = timedelta(hours=6)
# reports of imports that have ended; a later import from the same server goes by them as well
KEPT: Final = timedelta(days=365)
# at a time, of all listeners: whoever waits for a feed has the same worker
MOST_AT_ONCE: Final = 3
# an import that a worker has begun so often and not ended ends with a fault
MOST_CLAIMS: Final = 40


class AlreadyRunning(Exception):
    """The listener has another import that has not ended."""


class ServerImportManager(models.Manager["ServerImport"]):
    def begin(
        self, number: uuid.UUID, user_id: uuid.UUID, server: str, name: str, password: str, now: datetime
    ) -> "ServerImport":
        """An import that a worker is to do; the same again for a ``number`` that was given before. Without a
        password no worker takes it. Raises ``AlreadyRunning``."""
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
        """Have an import for oneself as long as one tells how far it is, at least every ``LEASE``; None where
        another has it, it has ended, or too many are at work."""
        unended = self.filter(ended_at=None)
        if unended.exclude(pk=number).filter(leased_until__gt=now).count() >= MOST_AT_ONCE:
            return None
        free = unended.filter(Q(leased_until=None) | Q(leased_until__lte=now), user__is_active=True)
        until = now + LEASE
        if not free.filter(pk=number).update(leased_until=until, claims=models.F("claims") + 1):
            return None
        return self.filter(pk=number, leased_until=until).first()

    def waiting(self, now: datetime) -> list[uuid.UUID]:
        """Those that a worker may take now."""
        free = self.filter(Q(leased_until=None) | Q(leased_until__lte=now), ended_at=None, next_at__lte=now)
        free = free.exclude(password=b"")
        return list(free.order_by("next_at").values_list("pk", flat=True)[: 2 * MOST_AT_ONCE])

    def end_overdue(self, now: datetime) -> int:
        """End what takes too long or fails again and again, and delete old reports. Returns how many it
        ended."""
        self.filter(ended_at__lte=now - KEPT).delete()
        overdue = self.filter(Q(started_at__lte=now - LONGEST) | Q(claims__gt=MOST_CLAIMS), ended_at=None)
        lost = self.filter(ended_at=None, password=b"", leased_until__lte=now)
        return (overdue | lost).update(ended_at=now, error="given_up", password=b"", leased_until=None)


class ServerImport(models.Model):
    """One import. ``server`` is an address without credentials, ``name`` the account there.

    ``password``: for that account, encrypted with a key that comes from SECRET_KEY and ``id``; empty as soon
    as the import has ended. ``progress``: of ``feeds.imports.progress``, as JSON. ``error``: why it has ended
    before everything was here, or "". ``leased_until``: until when a worker has it for itself; ``next_at``:
    when a worker may take it next.
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
        """The password; "" where it is forgotten, or SECRET_KEY is another by now."""
        try:
            return self.cipher().decrypt(bytes(self.password)).decode() if self.password else ""
        except InvalidToken:
            return ""

    def keep(self, progress: bytes, now: datetime, lease: timedelta = LEASE) -> bool:
        """Keep how far it is, and the import for a while longer; False where it was taken away meanwhile: it
        was cancelled, or the worker was thought dead."""
        until = now + lease
        kept = self._held().update(progress=progress, leased_until=until, claims=0)
        self.progress, self.leased_until = progress, until
        return bool(kept)

    def put_off(self, until: datetime, progress: bytes | None = None) -> None:
        """Give it back, to be taken again from then on."""
        kept = {} if progress is None else {"progress": progress, "claims": 0}
        self._held().update(leased_until=None, next_at=until, **kept)

    def end(self, error: str, progress: bytes, now: datetime) -> bool:
        """End it, and forget the password."""
        ended = {"ended_at": now, "error": error, "password": b"", "leased_until": None}
        return bool(self._held().update(progress=progress, **ended))

    def cancel(self, now: datetime) -> bool:
        """The same by its listener, whoever has it."""
        unended = ServerImport.objects.filter(pk=self.pk, ended_at=None)
        return bool(unended.update(ended_at=now, error="cancelled", password=b"", leased_until=None))

    def _held(self) -> "models.QuerySet[ServerImport]":
        return ServerImport.objects.filter(pk=self.pk, ended_at=None, leased_until=self.leased_until)
