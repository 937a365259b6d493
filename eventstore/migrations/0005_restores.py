from django.db import migrations

# next: the first position that was given out after it; between head and next there never are any
RESTORES = """
CREATE TABLE events.restores (
    epoch text PRIMARY KEY CHECK (epoch <> ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    head bigint NOT NULL,
    next bigint NOT NULL CHECK (next > head)
)
"""


class Migration(migrations.Migration):
    dependencies = [("eventstore", "0004_replica_fence")]

    operations = [
        # what sync cursors are compared with: after a restore, versions are given out a second time
        migrations.RunSQL(RESTORES, "DROP TABLE events.restores"),
    ]
