from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projections", "0004_shards")]

    operations = [
        migrations.CreateModel(
            name="BlockedFeed",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "feed_key",
                        "marked_by",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("feed_key", models.UUIDField()),
                ("marked_by", models.TextField()),
                ("marked_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."blocked_feeds"',
            },
        ),
    ]
