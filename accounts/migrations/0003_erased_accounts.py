import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_user_erasing_since")]

    operations = [
        migrations.CreateModel(
            name="ErasedAccount",
            fields=[
                ("digest", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("erased_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": '"system"."erased_accounts"',
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("digest__regex", "^[0-9a-f]{32}$")),
                        name="erased_accounts_digest_only",
                    ),
                ],
            },
        ),
    ]
