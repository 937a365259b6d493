from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AddField("user", "erasing_since", models.DateTimeField(editable=False, null=True)),
    ]
