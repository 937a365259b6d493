import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="BlockedFeed",
            fields=[
                ("feed_key", models.UUIDField(primary_key=True, serialize=False)),
                ("publisher_since", models.DateTimeField(null=True)),
                ("operator_since", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."blocked_feeds"',
            },
        ),
        migrations.CreateModel(
            name="Collection",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "collection_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("collection_id", models.UUIDField()),
                ("name", models.TextField()),
                ("description", models.TextField(null=True)),
                ("color", models.TextField(null=True)),
                ("is_public", models.BooleanField()),
                ("is_default", models.BooleanField()),
                ("updated_at", models.DateTimeField()),
                ("deleted_at", models.DateTimeField(null=True)),
                (
                    "feed_order",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
            ],
            options={
                "db_table": '"users"."collections"',
            },
        ),
        migrations.CreateModel(
            name="CollectionFeed",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "collection_id",
                        "feed_key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("collection_id", models.UUIDField()),
                ("feed_key", models.UUIDField()),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("added_at", models.DateTimeField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."collection_feeds"',
            },
        ),
        migrations.CreateModel(
            name="EffectivePrivacy",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "feed_key",
                        "item_key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("feed_key", models.UUIDField()),
                ("item_key", models.UUIDField()),
                ("level", models.TextField(null=True)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."activity_levels"',
            },
        ),
        migrations.CreateModel(
            name="Playlist",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "playlist_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("playlist_id", models.UUIDField()),
                ("name", models.TextField()),
                ("description", models.TextField(null=True)),
                ("is_public", models.BooleanField()),
                ("kind", models.TextField()),
                ("updated_at", models.DateTimeField()),
                ("deleted_at", models.DateTimeField(null=True)),
                (
                    "item_order",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
            ],
            options={
                "db_table": '"users"."playlists"',
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_public", True)),
                        fields=["updated_at", "playlist_id"],
                        name="playlists_in_public",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PlaylistItem",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "playlist_id",
                        "item_key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("playlist_id", models.UUIDField()),
                ("item_key", models.UUIDField()),
                ("rss_source_item", models.TextField(db_collation="C")),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("item_title", models.TextField(null=True)),
                ("feed_title", models.TextField(null=True)),
                ("added_at", models.DateTimeField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."playlist_items"',
            },
        ),
        migrations.CreateModel(
            name="PopularityQueue",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("feed_key", models.UUIDField()),
                ("item_key", models.UUIDField(null=True)),
            ],
            options={
                "db_table": '"users"."popularity_due"',
            },
        ),
        migrations.CreateModel(
            name="ProjectorPosition",
            fields=[
                ("projector", models.TextField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField(default=0)),
                ("parked", models.BooleanField(default=False)),
                ("updated_at", models.DateTimeField(null=True)),
                ("epoch", models.IntegerField(db_default=0, default=0)),
            ],
            options={
                "db_table": '"users"."projector_positions"',
            },
        ),
        migrations.CreateModel(
            name="SavedEpisode",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "item_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("item_key", models.UUIDField()),
                ("rss_source_item", models.TextField(db_collation="C")),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("saved_at", models.DateTimeField(null=True)),
                ("unsaved_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."saved_episodes"',
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "feed_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("feed_key", models.UUIDField()),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("rss_source_id", models.TextField(db_collation="C", null=True)),
                ("subscribed_at", models.DateTimeField(null=True)),
                ("unsubscribed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."subscriptions"',
                "indexes": [models.Index(fields=["feed_key", "user_id"], name="subscriptions_of_feed")],
            },
        ),
        migrations.CreateModel(
            name="UserPrivacy",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "scope_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("scope_key", models.UUIDField()),
                ("rss_source_feed", models.TextField(db_collation="C", null=True)),
                ("rss_source_item", models.TextField(db_collation="C", null=True)),
                ("level", models.TextField(null=True)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."user_privacy"',
            },
        ),
        migrations.CreateModel(
            name="Activity",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "kind",
                        "key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("kind", models.TextField()),
                ("key", models.UUIDField()),
                ("feed_key", models.UUIDField()),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("rss_source_item", models.TextField(db_collation="C", null=True)),
                ("item_key", models.UUIDField(null=True)),
                ("guid_key", models.UUIDField(null=True)),
                ("happened_at", models.DateTimeField(null=True)),
                ("withdrawn_at", models.DateTimeField(null=True)),
                ("secret", models.BooleanField()),
                ("level", models.TextField(db_default="private")),
                ("public_id", models.UUIDField(null=True)),
                ("arrived_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."activity"',
                "indexes": [
                    models.Index(fields=["feed_key", "user_id"], name="activity_of_feed"),
                    models.Index(fields=["user_id", "item_key"], name="activity_by_item"),
                    models.Index(
                        condition=models.Q(("public_id__isnull", False)),
                        fields=["public_id"],
                        name="activity_by_public_row",
                    ),
                    models.Index(fields=["happened_at"], name="activity_by_time"),
                    models.Index(
                        condition=models.Q(("withdrawn_at__isnull", False)),
                        fields=["withdrawn_at"],
                        name="activity_by_withdrawal",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("projector", models.TextField()),
                ("position", models.BigIntegerField()),
                ("stream", models.BigIntegerField()),
                ("version", models.IntegerField()),
                ("type", models.TextField()),
                ("error", models.TextField()),
                ("attempts", models.IntegerField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."dead_letters"',
                "indexes": [
                    models.Index(fields=["projector", "stream", "position"], name="dead_letters_by_stream")
                ],
                "constraints": [
                    models.UniqueConstraint(fields=["projector", "position"], name="dead_letters_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="EpisodePopularity",
            fields=[
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("score", models.BigIntegerField()),
                ("plays", models.BigIntegerField()),
                ("likes", models.BigIntegerField()),
                ("shares", models.BigIntegerField()),
                ("subscribers", models.BigIntegerField()),
                ("item_key", models.UUIDField(primary_key=True, serialize=False)),
                ("feed_key", models.UUIDField()),
                ("rss_source_item", models.TextField(db_collation="C")),
            ],
            options={
                "db_table": '"public"."episode_popularity"',
                "indexes": [
                    models.Index(fields=["score", "item_key"], name="episodes_by_score"),
                    models.Index(fields=["feed_key", "score", "item_key"], name="episodes_of_feed_by_score"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlayStatus",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "item_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("item_key", models.UUIDField()),
                ("rss_source_item", models.TextField(db_collation="C")),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("position", models.PositiveIntegerField()),
                ("played", models.BooleanField()),
                ("speed", models.FloatField(null=True)),
                ("started", models.PositiveIntegerField(null=True)),
                ("total", models.PositiveIntegerField(null=True)),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."play_statuses"',
                "indexes": [
                    models.Index(fields=["user_id", "updated_at", "item_key"], name="play_statuses_by_time"),
                    models.Index(
                        models.F("user_id"),
                        django.db.models.functions.text.MD5("rss_source_feed"),
                        name="play_statuses_by_feed",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PodcastPopularity",
            fields=[
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("score", models.BigIntegerField()),
                ("plays", models.BigIntegerField()),
                ("likes", models.BigIntegerField()),
                ("shares", models.BigIntegerField()),
                ("subscribers", models.BigIntegerField()),
                ("feed_key", models.UUIDField(primary_key=True, serialize=False)),
            ],
            options={
                "db_table": '"public"."podcast_popularity"',
                "indexes": [models.Index(fields=["score", "feed_key"], name="podcasts_by_score")],
            },
        ),
        migrations.CreateModel(
            name="PublicEvent",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("feed_key", models.UUIDField()),
                ("rss_source_item", models.TextField(db_collation="C", null=True)),
                ("item_key", models.UUIDField(null=True)),
                ("guid_key", models.UUIDField(null=True)),
                ("happened_at", models.DateTimeField()),
                ("user_id", models.UUIDField(null=True)),
            ],
            options={
                "db_table": '"public"."public_events"',
                "indexes": [
                    models.Index(fields=["happened_at", "id"], name="public_events_by_time"),
                    models.Index(fields=["feed_key", "happened_at", "id"], name="public_events_by_feed"),
                    models.Index(fields=["item_key", "happened_at", "id"], name="public_events_by_item"),
                    models.Index(fields=["guid_key", "item_key"], name="public_events_by_guid"),
                    models.Index(
                        condition=models.Q(("user_id__isnull", False)),
                        fields=["user_id", "happened_at", "id"],
                        name="public_events_by_user",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Device",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "device_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("device_key", models.UUIDField()),
                ("device", models.TextField(db_collation="C")),
                ("caption", models.TextField(db_collation="C", null=True)),
                ("type", models.TextField(db_collation="C", null=True)),
                ("app", models.TextField(db_collation="C", null=True)),
                ("first_seen", models.DateTimeField(null=True)),
                ("registered_at", models.DateTimeField(null=True)),
                ("forgotten_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."devices"',
            },
        ),
        migrations.CreateModel(
            name="Settings",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "scope_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("scope_key", models.UUIDField()),
                ("device", models.TextField(db_collation="C", null=True)),
                ("rss_source_feed", models.TextField(db_collation="C", null=True)),
                ("rss_source_item", models.TextField(db_collation="C", null=True)),
                ("settings", models.TextField(db_collation="C", null=True)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."settings"',
            },
        ),
        migrations.CreateModel(
            name="EpisodeAction",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "item_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("item_key", models.UUIDField()),
                ("rss_source_item", models.TextField(db_collation="C")),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("action", models.TextField(db_collation="C")),
                ("device", models.TextField(db_collation="C", null=True)),
                ("acted_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."episode_actions"',
                "indexes": [
                    models.Index(fields=["user_id", "acted_at", "item_key"], name="episode_actions_by_time")
                ],
            },
        ),
        migrations.CreateModel(
            name="HeldRemoval",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "feed_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("feed_key", models.UUIDField()),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("device", models.TextField(db_collation="C", null=True)),
                ("held_at", models.DateTimeField(null=True)),
                ("settled_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."held_removals"',
                "indexes": [models.Index(fields=["held_at"], name="held_removals_by_time")],
            },
        ),
        migrations.CreateModel(
            name="Listening",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "item_key",
                        "at",
                        "device_key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.UUIDField()),
                ("item_key", models.UUIDField()),
                ("at", models.DateTimeField()),
                ("device_key", models.UUIDField()),
                ("rss_source_feed", models.TextField(db_collation="C")),
                ("device", models.TextField(db_collation="C")),
                ("position", models.PositiveIntegerField()),
                ("started", models.PositiveIntegerField(null=True)),
                ("speed", models.FloatField(null=True)),
                ("played", models.BooleanField()),
                ("seconds", models.PositiveIntegerField()),
                ("starts_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("settled", models.BooleanField()),
            ],
            options={"db_table": '"users"."listening"'},
        ),
    ]
