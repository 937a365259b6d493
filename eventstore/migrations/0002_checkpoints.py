from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("eventstore", "0001_schema")]

    operations = [
        # a stream is folded from its newest checkpoint
        migrations.RunSQL(
            "CREATE INDEX events_checkpoints ON events.events (stream, version) WHERE type = 'UserCheckpoint'",
            "DROP INDEX events.events_checkpoints",
        ),
        # retention asks for what is old; a few bytes per 128 pages, and nothing for an append to keep up
        migrations.RunSQL(
            "CREATE INDEX events_recorded_at ON events.events USING brin (recorded_at)",
            "DROP INDEX events.events_recorded_at",
        ),
    ]
