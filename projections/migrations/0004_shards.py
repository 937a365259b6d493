from django.db import migrations, models

# A constant default is no rewrite, and the table has a handful of rows: done in an instant.
FORWARDS = """
ALTER TABLE "users"."projector_positions"
    ADD COLUMN shard smallint NOT NULL DEFAULT 0,
    ADD COLUMN shards smallint NOT NULL DEFAULT 1,
    ADD CONSTRAINT shard_of_its_layout CHECK (shard >= 0 AND shard < shards),
    DROP CONSTRAINT projector_positions_pkey,
    ADD CONSTRAINT projector_positions_pkey PRIMARY KEY (projector, shard)
"""
# What the faster shards had applied beyond the slowest comes once more, which every table forgives; who wants
# it exact starts the projectors with PROJECTOR_SHARDS=1 first.
BACKWARDS = """
UPDATE "users"."projector_positions" kept SET position = slowest.position, parked = slowest.parked, shards = 1
  FROM (SELECT projector, min(position) AS position, bool_or(parked) AS parked
          FROM "users"."projector_positions" GROUP BY projector) AS slowest
 WHERE slowest.projector = kept.projector AND kept.shard = 0;
DELETE FROM "users"."projector_positions" WHERE shard > 0;
ALTER TABLE "users"."projector_positions"
    DROP CONSTRAINT projector_positions_pkey,
    ADD CONSTRAINT projector_positions_pkey PRIMARY KEY (projector),
    DROP COLUMN shard,
    DROP COLUMN shards
"""


class Migration(migrations.Migration):
    dependencies = [("projections", "0003_dead_letters_listed")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARDS, BACKWARDS)],
            # Django cannot change a primary key into a composite one
            state_operations=[
                migrations.DeleteModel("ProjectorPosition"),
                migrations.CreateModel(
                    name="ProjectorPosition",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "projector",
                                "shard",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("projector", models.TextField()),
                        ("shard", models.SmallIntegerField(db_default=0, default=0)),
                        ("shards", models.SmallIntegerField(db_default=1, default=1)),
                        ("position", models.BigIntegerField(default=0)),
                        ("parked", models.BooleanField(default=False)),
                        ("updated_at", models.DateTimeField(null=True)),
                        ("epoch", models.IntegerField(db_default=0, default=0)),
                    ],
                    options={
                        "db_table": '"users"."projector_positions"',
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(shard__gte=0, shard__lt=models.F("shards")),
                                name="shard_of_its_layout",
                            )
                        ],
                    },
                ),
            ],
        ),
        migrations.AddField("activity", "stream", models.BigIntegerField(null=True)),
    ]
