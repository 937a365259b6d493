"""The tables of what others see: which levels allow it, the public rows, and how popular it all is.

They follow the rules of ``models.py``, which has the listeners' own tables.
"""

from django.contrib.postgres.functions import RandomUUID
from django.db import models


class EffectivePrivacy(models.Model):
    """The public-events projector's own copy of the privacy settings, keyed by digests.

    It has a copy so that it applies settings and activity in one order. An item's setting has zeros in place
    of the feed key, a feed's in place of the item key, the account's in both.
    """

    pk = models.CompositePrimaryKey("user_id", "feed_key", "item_key")
    user_id = models.UUIDField()
    feed_key = models.UUIDField()
    item_key = models.UUIDField()
    level = models.TextField(null=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."activity_levels"'


class BlockedFeed(models.Model):
    """A feed of which nothing is public, whatever the levels, and since when the publisher or the operator
    wants that.

    There is one row per feed, so that the projector can join by its key: an EXISTS looked through 300 rows
    for each row of the activity, which doubled the time of a batch. The digests are as in the event
    (``retention.FeedMarked``).
    """

    feed_key = models.UUIDField(primary_key=True)
    publisher_since = models.DateTimeField(null=True)
    operator_since = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."blocked_feeds"'


class Activity(models.Model):
    """What a listener did that others may get to see, including private acts, and which public row shows it.

    ``key``: the feed followed, the episode played or saved, or the share's own. ``guid_key``: a digest of the
    episode's GUID alone, whichever feed it is in.
    """

    pk = models.CompositePrimaryKey("user_id", "kind", "key")
    user_id = models.UUIDField()
    kind = models.TextField()
    key = models.UUIDField()
    feed_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C")
    rss_source_item = models.TextField(db_collation="C", null=True)
    item_key = models.UUIDField(null=True)
    guid_key = models.UUIDField(null=True)
    happened_at = models.DateTimeField(null=True)
    # unsubscribed, unsaved: the later of the two times decides
    withdrawn_at = models.DateTimeField(null=True)
    # the address of the feed or the item is secret: it is shown to nobody, whatever the level
    secret = models.BooleanField()
    level = models.TextField(db_default="private")
    # the row of public_events, if there is one
    public_id = models.UUIDField(null=True)
    # set if the device's clock was ahead: then it is shown with this time
    arrived_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."activity"'
        indexes = [
            # finds the acts of a listener on a feed, and, when it is blocked, of everybody
            models.Index(fields=["feed_key", "user_id"], name="activity_of_feed"),
            models.Index(fields=["user_id", "item_key"], name="activity_by_item"),
            # most acts are private
            models.Index(
                fields=["public_id"],
                name="activity_by_public_row",
                condition=models.Q(public_id__isnull=False),
            ),
            # finds what is too old
            models.Index(fields=["happened_at"], name="activity_by_time"),
            models.Index(
                fields=["withdrawn_at"],
                name="activity_by_withdrawal",
                condition=models.Q(withdrawn_at__isnull=False),
            ),
        ]


class PublicEvent(models.Model):
    """What everybody may see. For anonymous listeners: no user, a random id, the time rounded down to the
    hour."""

    id = models.UUIDField(primary_key=True)
    kind = models.TextField()
    rss_source_feed = models.TextField(db_collation="C")
    feed_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C", null=True)
    item_key = models.UUIDField(null=True)
    guid_key = models.UUIDField(null=True)
    happened_at = models.DateTimeField()
    user_id = models.UUIDField(null=True)

    class Meta:
        db_table = '"public"."public_events"'
        indexes = [
            models.Index(fields=["happened_at", "id"], name="public_events_by_time"),
            models.Index(fields=["feed_key", "happened_at", "id"], name="public_events_by_feed"),
            models.Index(fields=["item_key", "happened_at", "id"], name="public_events_by_item"),
            models.Index(fields=["guid_key", "item_key"], name="public_events_by_guid"),
            # finds what somebody shows with their name
            models.Index(
                fields=["user_id", "happened_at", "id"],
                name="public_events_by_user",
                condition=models.Q(user_id__isnull=False),
            ),
        ]


class PopularityQueue(models.Model):
    """A feed, and one of its items, whose public rows changed. The worker counts their figures and deletes
    this row."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID())
    feed_key = models.UUIDField()
    item_key = models.UUIDField(null=True)

    class Meta:
        db_table = '"users"."popularity_due"'


class Popularity(models.Model):
    rss_source_feed = models.TextField(db_collation="C")
    score = models.BigIntegerField()
    plays = models.BigIntegerField()
    likes = models.BigIntegerField()
    shares = models.BigIntegerField()
    subscribers = models.BigIntegerField()

    class Meta:
        abstract = True


class PodcastPopularity(Popularity):
    """The figures of a feed; no row if they are all zero."""

    feed_key = models.UUIDField(primary_key=True)

    class Meta:
        db_table = '"public"."podcast_popularity"'
        indexes = [models.Index(fields=["score", "feed_key"], name="podcasts_by_score")]


class EpisodePopularity(Popularity):
    """The figures of an item; no row if they are all zero."""

    item_key = models.UUIDField(primary_key=True)
    feed_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C")

    class Meta:
        db_table = '"public"."episode_popularity"'
        indexes = [
            models.Index(fields=["score", "item_key"], name="episodes_by_score"),
            models.Index(fields=["feed_key", "score", "item_key"], name="episodes_of_feed_by_score"),
        ]
