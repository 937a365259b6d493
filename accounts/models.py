"""Accounts, the grants they give to apps, and the play tokens of their players. Store: system."""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, Permission, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Func, Q, Value
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.usernames import LONGEST, username_key, username_skeleton, validate_username

TAKEN = _("This user name, or one that looks like it, is taken.")


class UserManager(BaseUserManager["User"]):
    """Finds users by name, regardless of case and Unicode form."""

    def create_user(
        self, username: str, email: str = "", password: str | None = None, **fields: Any
    ) -> "User":
        """Add a listener.

        Raises ``ValidationError`` for a bad name, and for one that is taken or looks like one that is;
        ``IntegrityError`` if somebody else takes it at the same moment.
        """
        validate_username(username)
        self.check_free(username)
        user = self.model(username=username, email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def check_free(self, username: str, of: uuid.UUID | None = None) -> None:
        """Raise ``ValidationError`` if a user other than ``of`` has this name, or one that looks like it."""
        others = self.exclude(pk=of) if of else self.all()
        if others.filter(username_skeleton=username_skeleton(username)).exists():
            raise ValidationError(TAKEN, code="taken")

    def create_superuser(
        self, username: str, email: str = "", password: str | None = None, **fields: Any
    ) -> "User":
        """Add an administrator; raises the same errors as ``create_user``."""
        return self.create_user(username, email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user of that name in any spelling. Raises ``User.DoesNotExist``, whatever was typed."""
        # longer names and NUL cannot be stored; querying PostgreSQL for U+0000 would raise another error
        if not username or len(username) > LONGEST or "\0" in username:
            raise self.model.DoesNotExist
        key = username_key(username)
        if not key.isprintable():  # lone surrogates cannot be sent to the database
            raise self.model.DoesNotExist
        return self.get(username_key=key)


# fields that are saved along with a field of a user
SAVED_WITH = {"username": ("username_key", "username_skeleton"), "is_active": ("switched_off_at",)}


class User(AbstractBaseUser, PermissionsMixin):
    """A listener. The id names the event stream ``user-<id>``, and apps sign their requests for it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField("user name", max_length=LONGEST, validators=[validate_username])
    # three times as long, because case folding may turn one character into three
    username_key = models.CharField(max_length=3 * LONGEST, unique=True, editable=False)
    # unique, so that no two names look alike
    username_skeleton = models.TextField(unique=True, editable=False)
    # a confirmed address: its listener confirmed it by a link, or an administrator entered it
    email = models.EmailField("e-mail address", blank=True)
    # an address that the listener has not confirmed yet; nothing but the link to confirm it is sent there
    new_email = models.EmailField(blank=True, default="", db_default="", editable=False)
    # the address before the last change, until it has been sent the notice of the change
    old_email = models.EmailField(blank=True, default="", db_default="", editable=False)
    is_active = models.BooleanField(
        "active", default=True, help_text="Switch off instead of deleting: apps and sessions end at once."
    )
    # sessions from before this time are no longer valid
    switched_off_at = models.DateTimeField(null=True, editable=False)
    is_staff = models.BooleanField("may use the administration", default=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    # language of the pages; empty: what the browser asks for
    language = models.CharField(
        max_length=8, blank=True, default="", db_default="", choices=settings.LANGUAGES
    )
    # IANA name of the time zone for times on the pages; empty: the browser's
    time_zone = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    # whether followed podcasts are shown as a list, not as a grid of covers
    podcasts_as_list = models.BooleanField(default=False, db_default=False, editable=False)
    # digests of feeds that this listener does not want to see in what others follow and hear (web/public.py)
    hidden_podcasts = ArrayField(models.UUIDField(), default=list, db_default=[], editable=False)
    # since when the account has been closed, to be erased entirely (accounts/erasure.py)
    erasing_since = models.DateTimeField(null=True, editable=False)
    # whether subscriptions follow a feed that moves to another address (jobs/moves.py)
    follow_moves = models.BooleanField(default=True, db_default=True, editable=False)
    # whether podcast apps may sign in with the account's own password (accounts/app_login.py)
    app_login_with_password = models.BooleanField(default=True, db_default=True, editable=False)
    # the two fields of PermissionsMixin, with table names that include the schema
    groups = models.ManyToManyField(  # type: ignore[assignment]
        Group, blank=True, related_name="user_set", db_table='"system"."user_groups"'
    )
    user_permissions = models.ManyToManyField(  # type: ignore[assignment]
        Permission, blank=True, related_name="user_set", db_table='"system"."user_permissions"'
    )

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        db_table = '"system"."users"'
        constraints = [
            models.CheckConstraint(condition=~Q(username="") & ~Q(username_key=""), name="users_have_names"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        fields = kwargs.get("update_fields")
        if fields is None or "username" in fields:
            self.username_key = username_key(self.username)
            self.username_skeleton = username_skeleton(self.username)
        if not self.is_active:
            self.switched_off_at = timezone.now()
        if fields is not None:
            kwargs["update_fields"] = {
                *fields,
                *(more for name in fields for more in SAVED_WITH.get(name, ())),
            }
        super().save(*args, **kwargs)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return what a session stores and is compared with; it changes with the password, and when the
        account is switched off."""
        off = self.switched_off_at and self.switched_off_at.isoformat()
        known = f"{self.password} {off}"
        return salted_hmac("accounts.User.session", known, secret=secret, algorithm="sha256").hexdigest()

    def clean(self) -> None:
        super().clean()
        # forms do not check the uniqueness of fields that they do not show
        if self.username:  # empty if the name in the form is invalid
            try:
                User.objects.check_free(self.username, self.pk)
            except ValidationError as taken:
                raise ValidationError({"username": taken}) from None


class Session(AbstractBaseSession):
    """A browser's session, stored by accounts/sessions.py."""

    # None if nobody is logged in. Not a foreign key: Django retries with another session key when it cannot
    # insert a row, and would do so for ever if it is the user that is missing.
    user_id = models.UUIDField(null=True, db_index=True)
    device = models.CharField(max_length=100, blank=True)
    since = models.DateTimeField(null=True)
    # updated at most once an hour
    seen_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"system"."sessions"'

    @property
    def handle(self) -> str:
        """The name of this session on pages, because whoever has its key is logged in."""
        return handle_of(self.session_key)


def handle_of(session_key: str) -> str:
    """Return the name of a session outside its browser."""
    return salted_hmac("accounts.Session", session_key, algorithm="sha256").hexdigest()[:24]


class Profile(models.Model):
    """What listeners say about themselves. Nobody else sees any of it unless ``is_public`` is set and no
    operator has hidden it (``is_withdrawn``)."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="profile")
    is_public = models.BooleanField(default=False, db_default=False)
    is_withdrawn = models.BooleanField("hidden by an operator", default=False, db_default=False)
    public_name = models.CharField(max_length=80, blank=True)
    bio = models.TextField(max_length=1_000, blank=True)
    links = ArrayField(models.CharField(max_length=500), default=list, blank=True)
    # the name of its picture files (``Avatar``), a new one for each picture; empty if there is none
    avatar = models.CharField(max_length=32, blank=True)

    class Meta:
        db_table = '"system"."profiles"'

    def __str__(self) -> str:
        return self.public_name or str(self.user_id)


class Avatar(models.Model):
    """The picture of a profile in one size, as WebP; ``name`` is random, so that nobody can guess it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=32)
    size = models.SmallIntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = '"system"."avatars"'
        constraints = [models.UniqueConstraint(fields=["name", "size"], name="avatars_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.size}"


class AppGrant(models.Model):
    """What a user grants to an app, by the app's id (``iss``), key and scopes. Looked up on every request."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="app_grants")
    app_id = models.CharField("app id", max_length=255)
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=2048, blank=True)
    image = models.CharField(max_length=2048, blank=True)
    public_key = models.BinaryField("public key (SPKI, DER)")
    fingerprint = models.CharField("key fingerprint (SHA-256)", max_length=64)
    scopes = ArrayField(models.CharField(max_length=64))
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    # rounded down to the hour (grants.authenticate)
    last_used_at = models.DateTimeField(null=True, editable=False)

    # set by grants.list_grants: how many people use this very app, and whether that is enough to show its
    # picture
    users = 0
    shows_image = False

    class Meta:
        db_table = '"system"."app_tokens"'
        verbose_name = "app grant"
        constraints = [
            models.UniqueConstraint(fields=["user", "app_id"], name="app_tokens_one_per_user_and_app"),
            models.CheckConstraint(condition=~Q(app_id=""), name="app_tokens_app_id_given"),
            models.CheckConstraint(condition=Q(scopes__len__gte=1), name="app_tokens_some_scope"),
            models.CheckConstraint(
                condition=Q(
                    fingerprint=Func(
                        Func(F("public_key"), function="sha256"),
                        Value("hex"),
                        function="encode",
                        output_field=models.CharField(),
                    )
                ),
                name="app_tokens_fingerprint_of_key",
            ),
        ]
        # for counting the users of an app, which is identified by its id and its key together
        indexes = [models.Index(fields=["app_id", "fingerprint"], name="app_tokens_usage")]

    def __str__(self) -> str:
        return self.name


TOKEN_BYTES = 32
# more tokens than anybody has players, and few enough for a list without pages
MOST_TOKENS = 100
# lists that a limited token may open, besides playlists and collections, which are given by their ids
WHOLE_LISTS = ("subscriptions", "saved", "queue")


class PlayTokenManager(models.Manager["PlayToken"]):
    def issue(
        self,
        user: User,
        name: str,
        now: datetime,
        expires_at: datetime | None = None,
        text: str | None = None,
        lists: Sequence[str] | None = None,
    ) -> tuple["PlayToken", str]:
        """Make a token; its text is returned here once and stored nowhere.

        ``lists``: some of ``WHOLE_LISTS``, and ids of playlists and collections; None opens them all.
        ``text``: from ``PlayToken.text_of``. Raises ``IntegrityError`` if that text has been issued already.
        """
        text = text or secrets.token_urlsafe(TOKEN_BYTES)
        token = self.create(
            user=user,
            name=name,
            token_hash=PlayToken.digest(text),
            prefix=text[:6],
            created_at=now,
            expires_at=expires_at,
            lists=None if lists is None else list(lists),
        )
        return token, text


class PlayToken(models.Model):
    """Opens feeds and plays to a player or feed reader, and nothing else. Only its SHA-256 is stored.

    A token limited to ``lists`` opens the feeds of those lists, and the plays that they link to.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="play_tokens")
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField("first 6 characters", max_length=6, editable=False)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    lists = ArrayField(models.CharField(max_length=36), null=True, blank=True)
    # rounded down to the hour (playgateway/tokens.py)
    last_used_at = models.DateTimeField(null=True, editable=False)
    plays = models.IntegerField("plays recorded", default=0, db_default=0, editable=False)

    objects: ClassVar[PlayTokenManager] = PlayTokenManager()

    class Meta:
        db_table = '"system"."play_tokens"'
        constraints = [
            models.CheckConstraint(
                condition=Q(token_hash__regex="^[0-9a-f]{64}$"),  # noqa: S106
                name="play_tokens_hash_only",
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")),
                name="play_tokens_expire_later",
            ),
            models.CheckConstraint(
                condition=Q(lists=None) | Q(lists__len__gte=1), name="play_tokens_open_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @staticmethod
    def text_of(user_id: uuid.UUID, request: uuid.UUID) -> str:
        """Return the text of the token that a request with this Idempotency-Key creates.

        It is derived from SECRET_KEY, stored nowhere, and the same again when the request is repeated.
        """
        digest = salted_hmac("accounts.PlayToken", f"{user_id} {request}", algorithm="sha256").digest()
        return base64.urlsafe_b64encode(digest[:TOKEN_BYTES]).decode().rstrip("=")

    @staticmethod
    def digest(text: str) -> str:
        """Return the form in which a token is stored and looked up."""
        return hashlib.sha256(text.encode()).hexdigest()


class SetupState(models.Model):
    """The one row that says whether the instance has its first administrator."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    # stored in clear, because every process must be able to print it; emptied once it has been used
    token = models.CharField(max_length=200, blank=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"system"."setup"'
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="setup_one_row"),
            models.CheckConstraint(condition=Q(completed_at=None) | Q(token=""), name="setup_token_used_up"),
        ]


class UsedToken(models.Model):
    """A request token that has done something that must not be repeated; kept until the token expires."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    app_id = models.CharField(max_length=255)
    jti = models.CharField(max_length=255)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = '"system"."used_tokens"'
        constraints = [
            models.UniqueConstraint(fields=["user", "app_id", "jti"], name="used_tokens_once"),
            models.CheckConstraint(condition=~Q(jti=""), name="used_tokens_named"),
        ]


class ErasedAccount(models.Model):
    """A record that there was an account, for restores of backups that still contain it.

    It holds a digest of the account's random id (``eventstore.erasure.digest_of``), and nothing else about
    it. See accounts/ledger.py.
    """

    digest = models.CharField(primary_key=True, max_length=32)
    erased_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = '"system"."erased_accounts"'
        constraints = [
            models.CheckConstraint(
                condition=Q(digest__regex="^[0-9a-f]{32}$"), name="erased_accounts_digest_only"
            ),
        ]


# the models of podcast apps and of imports have modules of their own, and Django looks for models here
from accounts.app_models import AppPassword, AppSession, LoginFlow, SyncMark  # noqa: E402, F401
from accounts.import_models import ServerImport  # noqa: E402, F401
