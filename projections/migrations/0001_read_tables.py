import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="ProjectorPosition",
            fields=[
                ("projector", models.TextField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField(default=0)),
                ("parked", models.BooleanField(default=False)),
                ("updated_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"users"."projector_positions"',
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
            },
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "projector", "position", blank=True, editable=False, primary_key=True, serialize=False
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
    ]
