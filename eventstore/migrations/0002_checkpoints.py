from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("eventstore", "0001_schema")]

    operations = [
        # a stream is folded from its newest checkpoint
        migrations.RunSQL(
            "CREATE INDEX events_checkpoints ON events.events (stream, version) WHERE type = 'UserCheckpoint'",
            "DROP INDEX events.events_checkpoints",
        ),
    ]
