from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("eventstore", "0003_privacy_fence")]

    operations = [
        # every public read of a replica asks for the last of these, too (eventstore/sql/replica_fence.sql)
        migrations.RunSQL(
            "CREATE INDEX events_replica_fence ON events.events (position) WHERE type = 'PublicHistoryTrimmed'",
            "DROP INDEX events.events_replica_fence",
        ),
    ]
