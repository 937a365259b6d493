import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Category",
            fields=[
                ("slug", models.SlugField(max_length=64, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                ("seeded", models.BooleanField(db_default=False, default=False, editable=False)),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="feeds.category",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "categories",
                "db_table": '"system"."categories"',
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="categories_have_names"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("parent", None),
                            models.Q(("parent", models.F("slug")), _negated=True),
                            _connector="OR",
                        ),
                        name="categories_not_below_themselves",
                    ),
                ],
            },
        ),
    ]
