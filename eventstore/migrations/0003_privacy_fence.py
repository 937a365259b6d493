from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("eventstore", "0002_checkpoints")]

    operations = [
        # every public read asks for the last of these (eventstore/sql/privacy_fence.sql)
        migrations.RunSQL(
            "CREATE INDEX events_privacy_fence ON events.events (position)"
            " WHERE type IN ('PrivacyChanged', 'EventsRemoved', 'UserCheckpoint')",
            "DROP INDEX events.events_privacy_fence",
        ),
    ]
