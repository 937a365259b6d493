"""Every read table. Projectors alone write them; a wiped one is rebuilt from the events.

Feeds and items are up to 5,464 characters, a B-tree entry at most 2,704 bytes: so the primary keys hold a
digest of them (projections/keys.py), which is smaller besides. Texts that merge rules compare have the
collation "C" (order of bytes): the order of the domain, the same on every machine.
"""

from django.db import models
from django.db.models.functions import MD5


class Subscription(models.Model):
    """One row per listener and feed that was ever followed; the later of the two times decides."""

    pk = models.CompositePrimaryKey("user_id", "feed_key")
    user_id = models.UUIDField()
    feed_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C")
    rss_source_id = models.TextField(db_collation="C", null=True)
    subscribed_at = models.DateTimeField(null=True)
    unsubscribed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."subscriptions"'


class PlayStatus(models.Model):
    """One row per listener and episode: how far it was heard, by the newest of all devices."""

    pk = models.CompositePrimaryKey("user_id", "item_key")
    user_id = models.UUIDField()
    item_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C")
    rss_source_feed = models.TextField(db_collation="C")
    position = models.PositiveIntegerField()
    played = models.BooleanField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."play_statuses"'
        indexes = [
            models.Index(fields=["user_id", "updated_at", "item_key"], name="play_statuses_by_time"),
            models.Index("user_id", MD5("rss_source_feed"), name="play_statuses_by_feed"),
        ]


class ProjectorPosition(models.Model):
    """How far each projector has come; changes in one transaction with its rows (projections/worker.py)."""

    projector = models.TextField(primary_key=True)
    position = models.BigIntegerField(default=0)
    # whether this projector has dead letters: looked up only then
    parked = models.BooleanField(default=False)
    updated_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."projector_positions"'


class DeadLetter(models.Model):
    """An event that a projector could not apply, or that waits behind such a one of its stream.

    The event itself stays in the events store, which keeps it as long as a dead letter points at it.
    """

    pk = models.CompositePrimaryKey("projector", "position")
    projector = models.TextField()
    position = models.BigIntegerField()
    stream = models.BigIntegerField()
    version = models.IntegerField()
    type = models.TextField()
    # empty: this one only waits behind an earlier one of its stream
    error = models.TextField()
    attempts = models.IntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."dead_letters"'
        indexes = [models.Index(fields=["projector", "stream", "position"], name="dead_letters_by_stream")]
