import django.contrib.postgres.functions
from django.db import migrations, models

# Nobody has written down yet what changed since the last count.
EVERYTHING = """
INSERT INTO "users"."popularity_due" (feed_key, item_key)
SELECT feed_key, item_key FROM "public"."public_events"
 UNION SELECT feed_key, NULL FROM "public"."podcast_popularity"
 UNION SELECT feed_key, item_key FROM "public"."episode_popularity"
"""


class Migration(migrations.Migration):
    dependencies = [("projections", "0005_arrived_at")]

    operations = [
        migrations.CreateModel(
            name="PopularityDue",
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
            options={"db_table": '"users"."popularity_due"'},
        ),
        migrations.RunSQL(EVERYTHING, migrations.RunSQL.noop),
    ]
