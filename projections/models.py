"""The read tables of listeners; ``public_models.py`` has those of what others see.

Only projectors write them, and a lost one is rebuilt from the events. Feeds and items have up to 5,464
characters, but a B-tree entry at most 2,704 bytes: so the primary keys hold a digest of a feed
(``identifiers.feed_key_of``) or of an episode (``identifiers.episode_key``, made from its feed and GUID),
which is also smaller. Texts that merge rules compare have the collation "C" (order of bytes), which is the
order of the domain and the same on every machine.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import MD5


class Subscription(models.Model):
    """One row per listener and feed ever followed; the later of the two times says whether it still is."""

    pk = models.CompositePrimaryKey("user_id", "feed_key")
    user_id = models.UUIDField()
    feed_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C")
    rss_source_id = models.TextField(db_collation="C", null=True)
    subscribed_at = models.DateTimeField(null=True)
    unsubscribed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."subscriptions"'
        # finds the followers of a feed that moves
        indexes = [models.Index(fields=["feed_key", "user_id"], name="subscriptions_of_feed")]


class PlayStatus(models.Model):
    """One row per listener and episode: how far it was heard, according to the newest report of any
    device."""

    pk = models.CompositePrimaryKey("user_id", "item_key")
    user_id = models.UUIDField()
    item_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C")
    rss_source_feed = models.TextField(db_collation="C")
    position = models.PositiveIntegerField()
    played = models.BooleanField()
    speed = models.FloatField(null=True)
    started = models.PositiveIntegerField(null=True)
    total = models.PositiveIntegerField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."play_statuses"'
        indexes = [
            models.Index(fields=["user_id", "updated_at", "item_key"], name="play_statuses_by_time"),
            models.Index("user_id", MD5("rss_source_feed"), name="play_statuses_by_feed"),
        ]


class SavedEpisode(models.Model):
    """One row per listener and episode ever saved; the later of the two times says whether it still is."""

    pk = models.CompositePrimaryKey("user_id", "item_key")
    user_id = models.UUIDField()
    item_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C")
    rss_source_feed = models.TextField(db_collation="C")
    saved_at = models.DateTimeField(null=True)
    unsaved_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."saved_episodes"'


class Playlist(models.Model):
    """A listener's playlist; it exists while ``updated_at`` is not before ``deleted_at``.

    ``kind``: list, or queue for the one that holds what is played next.
    """

    pk = models.CompositePrimaryKey("user_id", "playlist_id")
    user_id = models.UUIDField()
    playlist_id = models.UUIDField()
    name = models.TextField()
    description = models.TextField(null=True)
    is_public = models.BooleanField()
    kind = models.TextField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)
    # keys of items in the order that the listener set; items added since then come after these
    item_order = ArrayField(models.TextField())

    class Meta:
        db_table = '"users"."playlists"'
        # finds public playlists
        indexes = [
            models.Index(
                fields=["updated_at", "playlist_id"],
                name="playlists_in_public",
                condition=models.Q(is_public=True),
            )
        ]


class PlaylistItem(models.Model):
    """An episode that was ever in a playlist; the later of the two times says whether it still is."""

    pk = models.CompositePrimaryKey("user_id", "playlist_id", "item_key")
    user_id = models.UUIDField()
    playlist_id = models.UUIDField()
    item_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C")
    rss_source_feed = models.TextField(db_collation="C")
    item_title = models.TextField(null=True)
    feed_title = models.TextField(null=True)
    added_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."playlist_items"'


class Collection(models.Model):
    """A listener's collection; it exists while ``updated_at`` is not before ``deleted_at``."""

    pk = models.CompositePrimaryKey("user_id", "collection_id")
    user_id = models.UUIDField()
    collection_id = models.UUIDField()
    name = models.TextField()
    description = models.TextField(null=True)
    color = models.TextField(null=True)
    is_public = models.BooleanField()
    is_default = models.BooleanField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)
    # feeds in the order that the listener set; feeds added since then come after these
    feed_order = ArrayField(models.TextField())

    class Meta:
        db_table = '"users"."collections"'


class CollectionFeed(models.Model):
    """A feed that was ever in a collection; the later of the two times says whether it still is."""

    pk = models.CompositePrimaryKey("user_id", "collection_id", "feed_key")
    user_id = models.UUIDField()
    collection_id = models.UUIDField()
    feed_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C")
    added_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."collection_feeds"'


class UserPrivacy(models.Model):
    """A privacy setting for the account, a feed or an item; no level if it was cleared.

    ``scope_key`` is the digest of ``privacy.scope_of``, so each scope has one row.
    """

    pk = models.CompositePrimaryKey("user_id", "scope_key")
    user_id = models.UUIDField()
    scope_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C", null=True)
    rss_source_item = models.TextField(db_collation="C", null=True)
    level = models.TextField(null=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."user_privacy"'


class Device(models.Model):
    """A device that an app registered; it is known while ``registered_at`` is not before ``forgotten_at``."""

    pk = models.CompositePrimaryKey("user_id", "device_key")
    user_id = models.UUIDField()
    device_key = models.UUIDField()
    device = models.TextField(db_collation="C")
    caption = models.TextField(db_collation="C", null=True)
    type = models.TextField(db_collation="C", null=True)
    app = models.TextField(db_collation="C", null=True)
    first_seen = models.DateTimeField(null=True)
    registered_at = models.DateTimeField(null=True)
    forgotten_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."devices"'


class EpisodeAction(models.Model):
    """One row per listener and episode: the newest thing that an app did with it other than playing it."""

    pk = models.CompositePrimaryKey("user_id", "item_key")
    user_id = models.UUIDField()
    item_key = models.UUIDField()
    rss_source_item = models.TextField(db_collation="C")
    rss_source_feed = models.TextField(db_collation="C")
    action = models.TextField(db_collation="C")
    device = models.TextField(db_collation="C", null=True)
    acted_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."episode_actions"'
        indexes = [models.Index(fields=["user_id", "acted_at", "item_key"], name="episode_actions_by_time")]


class Settings(models.Model):
    """All settings of a scope, as JSON; null if none are left.

    ``scope_key`` is the digest of ``settings.scope_of``, so each scope has one row.
    """

    pk = models.CompositePrimaryKey("user_id", "scope_key")
    user_id = models.UUIDField()
    scope_key = models.UUIDField()
    device = models.TextField(db_collation="C", null=True)
    rss_source_feed = models.TextField(db_collation="C", null=True)
    rss_source_item = models.TextField(db_collation="C", null=True)
    settings = models.TextField(db_collation="C", null=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = '"users"."settings"'


class HeldRemoval(models.Model):
    """A podcast that a device wanted its listener to unfollow.

    The later of the two times says whether that still waits for the listener's answer.
    """

    pk = models.CompositePrimaryKey("user_id", "feed_key")
    user_id = models.UUIDField()
    feed_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C")
    device = models.TextField(db_collation="C", null=True)
    held_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"users"."held_removals"'
        # finds what nobody has answered in time
        indexes = [models.Index(fields=["held_at"], name="held_removals_by_time")]


class Listening(models.Model):
    """A position that a device reported, and the seconds heard from ``starts_at`` up to it.

    ``starts_at`` is null if nothing was heard. ``settled``: counted by a checkpoint or an import, from
    several positions at once.
    """

    pk = models.CompositePrimaryKey("user_id", "item_key", "at", "device_key")
    user_id = models.UUIDField()
    item_key = models.UUIDField()
    at = models.DateTimeField()
    device_key = models.UUIDField()
    rss_source_feed = models.TextField(db_collation="C")
    device = models.TextField(db_collation="C")
    position = models.PositiveIntegerField()
    started = models.PositiveIntegerField(null=True)
    speed = models.FloatField(null=True)
    played = models.BooleanField()
    seconds = models.PositiveIntegerField()
    starts_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    settled = models.BooleanField()

    class Meta:
        db_table = '"users"."listening"'


class ProjectorPosition(models.Model):
    """How far each projector has come; it changes in one transaction with the rows
    (projections/worker.py)."""

    projector = models.TextField(primary_key=True)
    position = models.BigIntegerField(default=0)
    # whether this projector has dead letters: they are looked up only then
    parked = models.BooleanField(default=False)
    updated_at = models.DateTimeField(null=True)
    # grows when rows change without an event (an erased account): what was read before must be read again
    epoch = models.IntegerField(default=0, db_default=0)

    class Meta:
        db_table = '"users"."projector_positions"'


class DeadLetter(models.Model):
    """An event that a projector could not apply, or that waits behind such an event of its stream.

    The event itself stays in the events store, which keeps it as long as a dead letter refers to it.
    """

    # the Django admin needs a key of one column
    id = models.UUIDField(primary_key=True, db_default=RandomUUID())
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
        constraints = [models.UniqueConstraint(fields=["projector", "position"], name="dead_letters_once")]
        indexes = [models.Index(fields=["projector", "stream", "position"], name="dead_letters_by_stream")]

    def __str__(self) -> str:
        return f"{self.type} {self.position} of {self.projector}"


# Django looks for models in this module
from projections.public_models import (  # noqa: E402, F401
    Activity,
    BlockedFeed,
    EffectivePrivacy,
    EpisodePopularity,
    PodcastPopularity,
    PopularityQueue,
    PublicEvent,
)
