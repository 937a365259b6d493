from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from eventstore import indexes

OLD, NEW = "activity_by_feed", "activity_of_feed"


def build(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    indexes.build(editor, "users.activity", NEW, "(feed_key, user_id)")
    indexes.drop(editor, "users", OLD)


def undo(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    indexes.build(editor, "users.activity", OLD, "(user_id, feed_key)")
    indexes.drop(editor, "users", NEW)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("projections", "0007_blocked_feeds")]

    operations = [
        # Leads to what listeners did with a feed as the old one does, and to what all of them did with it: so
        # the version before this one loses nothing, and a play writes to no index more.
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build, undo)],
            state_operations=[
                migrations.RemoveIndex("activity", OLD),
                migrations.AddIndex("activity", models.Index(fields=["feed_key", "user_id"], name=NEW)),
            ],
        ),
    ]
