"""Sign-in data and sync marks of podcast apps that only know passwords and cookies. Store: system."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils.crypto import get_random_string, salted_hmac

# four groups of five, without letters that look alike: 100 bits, short enough to type on a phone
CHARACTERS, GROUPS, GROUP = "abcdefghijkmnpqrstuvwxyz23456789", 4, 5
LONGEST_AGENT = 200


def digest(text: str) -> str:
    """Return the form in which an app's password or session is stored and looked up.

    The digest is keyed and fast, because apps send their secret with every call; it is only for random
    secrets.
    """
    return salted_hmac("accounts.app_models", text, algorithm="sha256").hexdigest()


def _grouped(characters: str) -> str:
    return "-".join(characters[start : start + GROUP] for start in range(0, len(characters), GROUP))


class AppPasswordManager(models.Manager["AppPassword"]):
    def issue(
        self, user_id: uuid.UUID, name: str, now: datetime, text: str | None = None
    ) -> tuple["AppPassword", str]:
        """Make an app password; its text is returned here once and stored nowhere.

        Without a ``name`` it takes the user agent of the app that first uses it. ``text``: from
        ``AppPassword.text_of``. Raises ``IntegrityError`` if that text has been issued already.
        """
        text = text or _grouped(get_random_string(GROUPS * GROUP, CHARACTERS))
        made = self.create(user_id=user_id, name=name[:LONGEST_AGENT], digest=digest(text), made_at=now)
        return made, text


class AppPassword(models.Model):
    """Lets one app sign in, in place of the account's own password. It is revoked by deleting it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="app_passwords")
    name = models.CharField(max_length=LONGEST_AGENT, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    made_at = models.DateTimeField()
    # updated at most once an hour
    used_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[AppPasswordManager] = AppPasswordManager()

    class Meta:
        db_table = '"system"."app_passwords"'

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def text_of(user_id: uuid.UUID, request: uuid.UUID) -> str:
        """Return the text of the password that the form with the id ``request`` makes.

        It is derived from SECRET_KEY, stored nowhere, and the same again when the form is sent again.
        """
        drawn = salted_hmac("accounts.AppPassword", f"{user_id} {request}", algorithm="sha256").digest()
        # 256 is a multiple of the number of characters, so each is equally likely
        return _grouped("".join(CHARACTERS[byte % len(CHARACTERS)] for byte in drawn[: GROUPS * GROUP]))


class AppSession(models.Model):
    """The ``sessionid`` cookie of an app: it opens the routes for podcast apps, but no page.

    ``returned``: whether the app has ever sent it back. ``password``: the app password with which it was
    opened; None for the account's own.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="app_sessions")
    password = models.ForeignKey(AppPassword, null=True, on_delete=models.CASCADE, related_name="sessions")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    agent = models.CharField(max_length=LONGEST_AGENT, blank=True)
    # the listener's device for which it last made a request
    device = models.CharField(max_length=255, blank=True)
    made_at = models.DateTimeField()
    # updated at most once an hour
    used_at = models.DateTimeField(db_index=True)
    returned = models.BooleanField(default=False)

    class Meta:
        db_table = '"system"."app_sessions"'


class LoginFlow(models.Model):
    """An app that waits for its listener to approve it in a browser: login flow v2.

    It has two secrets, of which only digests are stored: one the app polls with, and one the browser opens.
    ``user``: who has approved it. The app password is made when the app fetches it, and its text is stored
    nowhere.
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
    """A number given to an app that stands for how far it knows a listener's stream (api/gpodder/marks.py).

    Marks are even, so that an app that adds one still means the same. ``at``: since when it has stood for
    this version.
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
