from django.db import migrations, models

VIEW = """
CREATE VIEW "users"."dead_letters_listed" AS
SELECT projector || ' ' || position AS id,
       projector, position, stream, version, type, error, attempts, first_at, last_at
  FROM "users"."dead_letters"
"""


class Migration(migrations.Migration):
    dependencies = [("projections", "0002_whole_domain")]

    operations = [
        migrations.RunSQL(VIEW, 'DROP VIEW "users"."dead_letters_listed"'),
        migrations.CreateModel(
            name="ListedLetter",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("projector", models.TextField()),
                ("position", models.BigIntegerField()),
                ("stream", models.BigIntegerField()),
                ("version", models.IntegerField()),
                ("type", models.TextField()),
                ("error", models.TextField()),
                ("attempts", models.IntegerField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "db_table": '"users"."dead_letters_listed"',
                "managed": False,
                "verbose_name": "dead letter",
            },
        ),
    ]
