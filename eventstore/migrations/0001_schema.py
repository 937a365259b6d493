from pathlib import Path

from django.db import migrations, models

SCHEMA = (Path(__file__).parent.parent / "sql" / "schema.sql").read_text()

DROP = """
DROP TABLE events.events, events.streams, events.snapshots, events.projection_versions, events.commands,
    events.restores;
DROP FUNCTION events.refuse_update, events.refuse_delete, events.delete_removed, events.purge_erased;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.RunSQL(SCHEMA, DROP),
        migrations.CreateModel(
            name="StoredEvent",
            fields=[
                ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                ("stream", models.BigIntegerField()),
                ("version", models.IntegerField()),
                ("event_id", models.UUIDField()),
                ("type", models.TextField()),
                ("schema", models.SmallIntegerField()),
                ("data", models.JSONField()),
                ("metadata", models.JSONField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={"db_table": '"events"."events"', "managed": False, "verbose_name": "event"},
        ),
    ]
