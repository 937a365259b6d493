"""What podcast apps sign in with and remember, that know passwords and cookies alone. Store: system."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils.crypto import get_random_string, salted_hmac

# four groups of five, without letters that look alike: 100 bits, typed on a phone if need be
CHARACTERS, GROUPS, GROUP = "abcdefghijkmnpqrstuvwxyz23456789", 4, 5
LONGEST_AGENT = 200


def digest(text: str) -> str:
    """The form in which a password of an app, or a session, is kept and looked up: keyed, and quick, since
    apps send theirs with every call. Only what is drawn at random is kept so."""
    return salted_hmac("accounts.app_models", text, algorithm="sha256").hexdigest()


def _grouped(characters: str) -> str:
    return "-".join(characters[start : start + GROUP] for start in range(0, len(characters), GROUP))


class AppPasswordManager(models.Manager["AppPassword"]):
    def issue(
        self, user_id: uuid.UUID, name: str, now: datetime, text: str | None = None
    ) -> tuple["AppPassword", str]:
        """Make one; its text is returned here once and stored nowhere. Without a ``name`` it is called as
        the app calls itself that first uses it.

        ``text``: of ``AppPassword.text_of``. Raises ``IntegrityError`` where that is issued already.
        """
        text = text or _grouped(get_random_string(GROUPS * GROUP, CHARACTERS))
        made = self.create(user_id=user_id, name=name[:LONGEST_AGENT], digest=digest(text), made_at=now)
        return made, text


class AppPassword(models.Model):
    """Lets one app in, in place of the account's own password. To revoke it is to delete it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="app_passwords")
    name = models.CharField(max_length=LONGEST_AGENT, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    made_at = models.DateTimeField()
    # to the hour
    used_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[AppPasswordManager] = AppPasswordManager()

    class Meta:
        db_table = '"system"."app_passwords"'

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def text_of(user_id: uuid.UUID, request: uuid.UUID) -> str:
        """The text of the password that a form with this number makes.

        Derived from SECRET_KEY: it is stored nowhere, and given again when the form is sent again.
        """
        drawn = salted_hmac("accounts.AppPassword", f"{user_id} {request}", algorithm="sha256").digest()
        # 256 is a multiple of the number of characters: each is as likely as any other
        return _grouped("".join(CHARACTERS[byte % len(CHARACTERS)] for byte in drawn[: GROUPS * GROUP]))


class AppSession(models.Model):
    """A cookie ``sessionid`` of an app: it opens the routes of podcast apps, and no page.

    ``returned``: whether the app has ever sent it back. ``password``: with which it was opened, if not with
    the account's own.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="app_sessions")
    password = models.ForeignKey(AppPassword, null=True, on_delete=models.CASCADE, related_name="sessions")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    agent = models.CharField(max_length=LONGEST_AGENT, blank=True)
    # which of the listener's devices it last spoke for
    device = models.CharField(max_length=255, blank=True)
    made_at = models.DateTimeField()
    # to the hour
    used_at = models.DateTimeField(db_index=True)
    returned = models.BooleanField(default=False)

    class Meta:
        db_table = '"system"."app_sessions"'


class LoginFlow(models.Model):
    """An app that waits for its listener to let it in with a browser: login flow v2.

    Two secrets, of which digests are kept: what the app polls with, and what the browser opens. ``user``: who
    has let it in; the app password is made when the app fetches it, and kept nowhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    poll_digest = models.CharField(max_length=64, unique=True, editable=False)
    login_digest = models.CharField(max_length=64, unique=True, editable=False)
    agent = models.CharField(max_length=LONGEST_AGENT, blank=True)
    address = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(db_index=True)
    user = models.ForeignKey("accounts.User", null=True, on_delete=models.CASCADE, related_name="+")
    denied = models.BooleanField(default=False)

    class Meta:
        db_table = '"system"."login_flows"'


class SyncMark(models.Model):
    """A number that one app was given for how far it knows a listener's stream (api/gpodder/marks.py).

    Even numbers: an app that adds one still means the same. ``at``: when it came to mean this version.
    """

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    app = models.CharField(max_length=64)
    mark = models.BigIntegerField()
    version = models.IntegerField()
    at = models.DateTimeField()

    class Meta:
        db_table = '"system"."sync_marks"'
        constraints = [models.UniqueConstraint(fields=["user", "mark"], name="sync_marks_once")]
        indexes = [models.Index(fields=["user", "app", "mark"], name="sync_marks_of_app")]
