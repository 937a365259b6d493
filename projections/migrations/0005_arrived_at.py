from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projections", "0004_shards")]

    operations = [
        migrations.AddField(model_name="activity", name="arrived_at", field=models.DateTimeField(null=True)),
    ]
