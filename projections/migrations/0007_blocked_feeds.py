from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projections", "0006_popularity_due")]

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
    ]
