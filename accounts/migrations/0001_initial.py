import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import accounts.usernames


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "username",
                    models.CharField(
                        max_length=40,
                        validators=[accounts.usernames.validate_username],
                        verbose_name="user name",
                    ),
                ),
                (
                    "username_key",
                    models.CharField(editable=False, max_length=120, unique=True),
                ),
                ("username_skeleton", models.TextField(editable=False, unique=True)),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="e-mail address")),
                (
                    "new_email",
                    models.EmailField(blank=True, db_default="", default="", editable=False, max_length=254),
                ),
                (
                    "old_email",
                    models.EmailField(blank=True, db_default="", default="", editable=False, max_length=254),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Switch off instead of deleting: apps and sessions end at once.",
                        verbose_name="active",
                    ),
                ),
                ("switched_off_at", models.DateTimeField(editable=False, null=True)),
                ("is_staff", models.BooleanField(default=False, verbose_name="may use the administration")),
                ("date_joined", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "language",
                    models.CharField(
                        blank=True,
                        choices=[("en", "English"), ("fr", "Français")],
                        db_default="",
                        default="",
                        max_length=8,
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
                ),
                (
                    "podcasts_as_list",
                    models.BooleanField(db_default=False, default=False, editable=False),
                ),
                (
                    "hidden_podcasts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(),
                        db_default=[],
                        default=list,
                        editable=False,
                        size=None,
                    ),
                ),
                ("erasing_since", models.DateTimeField(editable=False, null=True)),
                ("follow_moves", models.BooleanField(db_default=True, default=True, editable=False)),
                (
                    "app_login_with_password",
                    models.BooleanField(db_default=True, default=True, editable=False),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        db_table='"system"."user_groups"',
                        related_name="user_set",
                        to="auth.group",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        db_table='"system"."user_permissions"',
                        related_name="user_set",
                        to="auth.permission",
                    ),
                ),
            ],
            options={
                "db_table": '"system"."users"',
            },
        ),
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "session_key",
                    models.CharField(
                        max_length=40, primary_key=True, serialize=False, verbose_name="session key"
                    ),
                ),
                ("session_data", models.TextField(verbose_name="session data")),
                ("expire_date", models.DateTimeField(db_index=True, verbose_name="expire date")),
                ("user_id", models.UUIDField(db_index=True, null=True)),
                ("device", models.CharField(blank=True, max_length=100)),
                ("since", models.DateTimeField(null=True)),
                ("seen_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"system"."sessions"',
            },
        ),
        migrations.CreateModel(
            name="Profile",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="profile",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("is_public", models.BooleanField(db_default=False, default=False)),
                (
                    "is_withdrawn",
                    models.BooleanField(
                        db_default=False, default=False, verbose_name="hidden by an operator"
                    ),
                ),
                ("public_name", models.CharField(blank=True, max_length=80)),
                ("bio", models.TextField(blank=True, max_length=1000)),
                (
                    "links",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=500), blank=True, default=list, size=None
                    ),
                ),
                ("avatar", models.CharField(blank=True, max_length=32)),
            ],
            options={
                "db_table": '"system"."profiles"',
            },
        ),
        migrations.CreateModel(
            name="Avatar",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=32)),
                ("size", models.SmallIntegerField()),
                ("data", models.BinaryField()),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."avatars"',
                "constraints": [models.UniqueConstraint(fields=("name", "size"), name="avatars_once")],
            },
        ),
        migrations.CreateModel(
            name="AppGrant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("app_id", models.CharField(max_length=255, verbose_name="app id")),
                ("name", models.CharField(max_length=100)),
                ("url", models.CharField(blank=True, max_length=2048)),
                ("image", models.CharField(blank=True, max_length=2048)),
                ("public_key", models.BinaryField(verbose_name="public key (SPKI, DER)")),
                ("fingerprint", models.CharField(max_length=64, verbose_name="key fingerprint (SHA-256)")),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), size=None
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="app_grants",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "app grant",
                "db_table": '"system"."app_tokens"',
            },
        ),
        migrations.CreateModel(
            name="PlayToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("token_hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("prefix", models.CharField(editable=False, max_length=6, verbose_name="first 6 characters")),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "lists",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=36), blank=True, null=True, size=None
                    ),
                ),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                (
                    "plays",
                    models.IntegerField(
                        db_default=0, default=0, editable=False, verbose_name="plays recorded"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="play_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."play_tokens"',
            },
        ),
        migrations.CreateModel(
            name="SetupState",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("token", models.CharField(blank=True, max_length=200)),
                ("completed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"system"."setup"',
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="setup_one_row"),
                    models.CheckConstraint(
                        condition=models.Q(("completed_at", None), ("token", ""), _connector="OR"),
                        name="setup_token_used_up",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsedToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("app_id", models.CharField(max_length=255)),
                ("jti", models.CharField(max_length=255)),
                ("expires_at", models.DateTimeField(db_index=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."used_tokens"',
            },
        ),
        migrations.CreateModel(
            name="ErasedAccount",
            fields=[
                ("digest", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("erased_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": '"system"."erased_accounts"',
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("digest__regex", "^[0-9a-f]{32}$")),
                        name="erased_accounts_digest_only",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("username", ""), _negated=True), models.Q(("username_key", ""), _negated=True)
                ),
                name="users_have_names",
            ),
        ),
        migrations.AddIndex(
            model_name="appgrant",
            index=models.Index(fields=["app_id", "fingerprint"], name="app_tokens_usage"),
        ),
        migrations.AddConstraint(
            model_name="appgrant",
            constraint=models.UniqueConstraint(
                fields=("user", "app_id"), name="app_tokens_one_per_user_and_app"
            ),
        ),
        migrations.AddConstraint(
            model_name="appgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("app_id", ""), _negated=True), name="app_tokens_app_id_given"
            ),
        ),
        migrations.AddConstraint(
            model_name="appgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("scopes__len__gte", 1)), name="app_tokens_some_scope"
            ),
        ),
        migrations.AddConstraint(
            model_name="appgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "fingerprint",
                        models.Func(
                            models.Func(models.F("public_key"), function="sha256"),
                            models.Value("hex"),
                            function="encode",
                            output_field=models.CharField(),
                        ),
                    )
                ),
                name="app_tokens_fingerprint_of_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="playtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("token_hash__regex", "^[0-9a-f]{64}$")), name="play_tokens_hash_only"
            ),
        ),
        migrations.AddConstraint(
            model_name="playtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expires_at", None), ("expires_at__gt", models.F("created_at")), _connector="OR"
                ),
                name="play_tokens_expire_later",
            ),
        ),
        migrations.AddConstraint(
            model_name="playtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("lists", None), ("lists__len__gte", 1), _connector="OR"),
                name="play_tokens_open_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="usedtoken",
            constraint=models.UniqueConstraint(fields=("user", "app_id", "jti"), name="used_tokens_once"),
        ),
        migrations.AddConstraint(
            model_name="usedtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("jti", ""), _negated=True), name="used_tokens_named"
            ),
        ),
        migrations.CreateModel(
            name="AppPassword",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("made_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="app_passwords",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."app_passwords"',
            },
        ),
        migrations.CreateModel(
            name="AppSession",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("agent", models.CharField(blank=True, max_length=200)),
                ("device", models.CharField(blank=True, max_length=255)),
                ("made_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(db_index=True)),
                ("returned", models.BooleanField(default=False)),
                (
                    "password",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sessions",
                        to="accounts.apppassword",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="app_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."app_sessions"',
            },
        ),
        migrations.CreateModel(
            name="LoginFlow",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("poll_digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("login_digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("agent", models.CharField(blank=True, max_length=200)),
                ("address", models.CharField(blank=True, max_length=64)),
                ("started_at", models.DateTimeField(db_index=True)),
                ("denied", models.BooleanField(default=False)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."login_flows"',
            },
        ),
        migrations.CreateModel(
            name="SyncMark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("app", models.CharField(max_length=64)),
                ("mark", models.BigIntegerField()),
                ("version", models.IntegerField()),
                ("at", models.DateTimeField()),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."sync_marks"',
                "indexes": [models.Index(fields=["user", "app", "mark"], name="sync_marks_of_app")],
                "constraints": [models.UniqueConstraint(fields=("user", "mark"), name="sync_marks_once")],
            },
        ),
        migrations.CreateModel(
            name="ServerImport",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("server", models.TextField()),
                ("name", models.TextField()),
                ("password", models.BinaryField(default=b"")),
                ("progress", models.BinaryField(default=b"")),
                ("error", models.CharField(blank=True, max_length=40)),
                ("claims", models.PositiveIntegerField(default=0)),
                ("started_at", models.DateTimeField()),
                ("next_at", models.DateTimeField()),
                ("leased_until", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(db_index=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="server_imports",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."server_imports"',
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("user",),
                        name="server_imports_one_at_a_time",
                    )
                ],
            },
        ),
    ]
