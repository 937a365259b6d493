"""The event log as the Django admin shows it. Only ``eventstore`` reads and writes its rows."""

from django.db import models


class StoredEvent(models.Model):
    position = models.BigIntegerField(primary_key=True)
    stream = models.BigIntegerField()
    version = models.IntegerField()
    event_id = models.UUIDField()
    type = models.TextField()
    schema = models.SmallIntegerField()
    data = models.JSONField()
    metadata = models.JSONField()
    recorded_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"events"."events"'
        verbose_name = "event"

    def __str__(self) -> str:
        return f"{self.position} {self.type}"
