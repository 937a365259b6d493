from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from eventstore import indexes

NAME = "events_feed_marks"


def build(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    indexes.build(editor, "events.events", NAME, "(position) WHERE type = 'FeedMarked'")


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    indexes.drop(editor, "events", NAME)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("eventstore", "0005_restores")]

    operations = [
        # every public read asks for the last of these, too (eventstore/sql/privacy_fence.sql)
        migrations.RunPython(build, drop),
    ]
