"""What is known of podcasts, apart from what listeners do with them. Store: system."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Func
from django.db.models.functions import Now


class Category(models.Model):
    """A category of podcasts, in two levels: ``parent`` is None at the top.

    The slug never changes, because everything refers to a category by it. ``seeded``: created and kept up to
    date by seed_up, and removed by seed_down; other categories are the operator's own.
    """

    slug = models.SlugField(primary_key=True, max_length=64)
    name = models.CharField(max_length=100)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="children"
    )
    seeded = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        db_table = '"system"."categories"'
        verbose_name_plural = "categories"
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="categories_have_names"),
            models.CheckConstraint(
                condition=models.Q(parent=None) | ~models.Q(parent=models.F("slug")),
                name="categories_not_below_themselves",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Feed(models.Model):
    """A podcast, identified by its feed, as last described by its publisher. No table here names a listener.

    ``uid`` is its public id. ``url`` is the normalised address at which it is fetched; every address that it
    has or ever had is a ``FeedAlias``. Texts are stored as received: HTML is sanitised on output. ``version``
    grows with each change that a reader could see.
    """

    class State(models.TextChoices):
        NEW = "new"  # never read yet
        ACTIVE = "active"
        FAILING = "failing"  # the last fetch failed; what was read before is kept
        GONE = "gone"  # its server answered 410 twice, a day apart
        DEAD = "dead"  # no successful fetch for 90 days; still tried
        MERGED = "merged"  # merged into the feed ``merged_into``

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, default=uuid4, editable=False)
    url = models.TextField(unique=True)
    podcast_guid = models.UUIDField(null=True, db_index=True)
    is_secret = models.BooleanField(default=False, db_default=False)
    state = models.TextField(choices=State, default=State.NEW, db_default=State.NEW)
    title = models.TextField(default="", db_default="")
    author = models.TextField(default="", db_default="")
    description = models.TextField(default="", db_default="")
    link = models.TextField(default="", db_default="")
    cover_url = models.TextField(default="", db_default="")
    language = models.TextField(default="", db_default="")
    copyright = models.TextField(default="", db_default="")
    kind = models.TextField(default="", db_default="")  # episodic, serial or empty
    medium = models.TextField(default="", db_default="")
    explicit = models.BooleanField(null=True)
    blocked = models.BooleanField(default=False, db_default=False)  # by itunes:block
    complete = models.BooleanField(default=False, db_default=False)
    locked = models.BooleanField(default=False, db_default=False)
    owner_email = models.TextField(default="", db_default="")  # only for checks of ownership, never shown
    hub_url = models.TextField(default="", db_default="")
    self_url = models.TextField(default="", db_default="")
    new_feed_url = models.TextField(default="", db_default="")  # used only as evidence of a move
    categories = ArrayField(models.TextField(), default=list, db_default=[])
    episode_count = models.IntegerField(default=0, db_default=0)
    newest_at = models.DateTimeField(null=True)
    extra = models.JSONField(default=dict, db_default={})
    warnings = models.JSONField(default=list, db_default=[])
    reader_version = models.SmallIntegerField(default=0, db_default=0)
    version = models.BigIntegerField(default=0, db_default=0)
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    first_seen_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    # the search index; stored, because computing it takes 0.1 ms
    words = models.GeneratedField(
        expression=Func("title", "author", "description", function="system.feed_words"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        db_table = '"system"."feeds"'
        indexes = [
            GinIndex(fields=["words"], name="feeds_by_words"),
            GinIndex(fields=["categories"], name="feeds_by_category"),
            models.Index(fields=["id"], condition=~models.Q(new_feed_url=""), name="feeds_with_new_address"),
        ]

    def __str__(self) -> str:
        return f"secret feed {self.pk}" if self.is_secret else self.title or self.url


class FeedVersion(models.Model):
    """Changes with each commit that changes what lists show of any feed: a trigger sees to it.

    There are as many rows as transactions made such changes at the same time; together they are the version.
    """

    version = models.UUIDField(primary_key=True, db_default=RandomUUID())

    class Meta:
        db_table = '"system"."feed_versions"'


class FeedHost(models.Model):
    """A server that hosts feeds: how many connections it may get, and until when it is paused.

    ``failures`` counts consecutive network failures, over all its feeds; ``pauses`` counts the pauses since
    it last answered: while there are any, only one request at a time probes it.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.TextField(unique=True)
    paused_until = models.DateTimeField(null=True)
    pauses = models.SmallIntegerField(default=0, db_default=0)
    failures = models.IntegerField(default=0, db_default=0)
    failed_at = models.DateTimeField(null=True)
    feeds = models.IntegerField(default=0, db_default=0)
    connections = models.SmallIntegerField(default=2, db_default=2)

    class Meta:
        db_table = '"system"."feed_hosts"'

    def __str__(self) -> str:
        return self.name


class FeedSchedule(models.Model):
    """When a feed is fetched next, and how its last fetch ended. Narrow, because each fetch changes a row.

    ``next_at`` is None while the feed has no followers and nobody has asked for it in 30 days. ``asked_at``:
    when somebody last asked for it, or the last listener unsubscribed.
    """

    feed = models.OneToOneField(Feed, on_delete=models.CASCADE, primary_key=True, related_name="schedule")
    host = models.ForeignKey(FeedHost, on_delete=models.PROTECT, related_name="+", db_index=False)
    slot = models.SmallIntegerField()  # 0 to 63, derived from the host: determines which pump serves it
    next_at = models.DateTimeField(null=True, db_index=True)
    etag = models.TextField(default="", db_default="")
    last_modified = models.TextField(default="", db_default="")
    validators_url = models.TextField(default="", db_default="")
    body_hash = models.BinaryField(null=True, max_length=16)
    interval_s = models.IntegerField(default=21_600, db_default=21_600)
    fetched_at = models.DateTimeField(null=True)
    ok_at = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0, db_default=0)
    error = models.TextField(default="", db_default="")
    error_since = models.DateTimeField(null=True)
    status = models.SmallIntegerField(null=True)
    episodes = models.IntegerField(default=0, db_default=0)  # number in the last complete document
    shrunk = models.BooleanField(default=False, db_default=False)  # once fell to fewer than half of that
    followers = models.IntegerField(default=0, db_default=0)
    asked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"system"."feed_schedule"'

    def __str__(self) -> str:
        return f"feed {self.feed_id}, next at {self.next_at}"


class FeedAlias(models.Model):
    """An address of a feed, its current one included. ``feed_key`` is the digest of its name.

    Clients name a feed by the base64 of its address (``rss_source_feed``); ``feed_key_of`` makes the digest.
    """

    class Reason(models.TextChoices):
        TYPED = "typed"
        TWIN = "twin"
        MOVED = "moved"
        NEW_FEED_URL = "new_feed_url"
        MERGED = "merged"
        OPERATOR = "operator"

    feed_key = models.UUIDField(primary_key=True)
    url = models.TextField(unique=True)
    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="aliases")
    reason = models.TextField(choices=Reason, default=Reason.TYPED, db_default=Reason.TYPED)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = '"system"."feed_aliases"'
        verbose_name_plural = "feed aliases"

    def __str__(self) -> str:
        return self.url


class FeedMove(models.Model):
    """Evidence that a feed lives at another address now, and the decision on it.

    ``same_show``: when the address was first seen, it had the show that had been read before. ``undo``: what
    a merge changed, so that it can be undone (``feeds.merges``).
    """

    class Decision(models.TextChoices):
        FOLLOWED = "followed"
        REFUSED = "refused"
        WAITING = "waiting"  # waiting for the operator's decision

    pk = models.CompositePrimaryKey("feed_id", "to_url")
    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="moves", db_index=False)
    to_url = models.TextField()
    from_url = models.TextField(default="", db_default="")
    reason = models.TextField(choices=FeedAlias.Reason)
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    times = models.IntegerField(default=1, db_default=1)
    same_show = models.BooleanField(default=False, db_default=False)
    decided = models.TextField(choices=Decision, null=True)
    decided_at = models.DateTimeField(null=True)
    undo = models.JSONField(null=True)

    class Meta:
        db_table = '"system"."feed_moves"'

    def __str__(self) -> str:
        return f"feed {self.feed_id} to {self.to_url}"


class Episode(models.Model):
    """An episode as its feed last described it.

    ``key`` identifies it in its feed: the digest of its GUID, or of its enclosure's address (``feeds.keys``).
    ``gone_at``: since when it has been missing from complete documents; it is not deleted. ``merged_from``:
    the id of the feed that it came from, where that feed was merged into this one.
    """

    id = models.BigAutoField(primary_key=True)
    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="episodes", db_index=False)
    key = models.BinaryField(max_length=16)
    guid = models.TextField(default="", db_default="")
    enclosure_url = models.TextField(default="", db_default="")
    enclosure_type = models.TextField(default="", db_default="")
    enclosure_length = models.BigIntegerField(default=-1, db_default=-1)  # bytes; -1 where unknown
    title = models.TextField(default="", db_default="")
    link = models.TextField(default="", db_default="")
    description = models.TextField(default="", db_default="")
    published_at = models.DateTimeField(null=True)
    sort_at = models.DateTimeField()  # published_at, or first_seen_at where that is missing or in the future
    duration = models.IntegerField(null=True)  # seconds
    image_url = models.TextField(default="", db_default="")
    season = models.IntegerField(null=True)
    number = models.IntegerField(null=True)
    kind = models.TextField(default="", db_default="")  # full, trailer, bonus or empty
    explicit = models.BooleanField(null=True)
    blocked = models.BooleanField(default=False, db_default=False)
    extra = models.JSONField(default=dict, db_default={})
    content_hash = models.BinaryField(max_length=16)
    text_changes = models.SmallIntegerField(default=0, db_default=0)  # counted within 30 days
    text_changed_at = models.DateTimeField(null=True)
    first_seen_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())
    gone_at = models.DateTimeField(null=True)
    merged_from = models.BigIntegerField(null=True)

    class Meta:
        db_table = '"system"."episodes"'
        constraints = [models.UniqueConstraint(fields=["feed", "key"], name="episodes_have_one_key")]
        indexes = [
            models.Index("feed", models.F("sort_at").desc(), name="episodes_newest_first"),
            # a search for a common word scans this index, a search for a rare word uses the index of words
            models.Index(models.F("sort_at").desc(), models.F("id").desc(), name="episodes_newest_of_all"),
            GinIndex(Func("title", function="system.search_words"), name="episodes_by_words"),
        ]

    def __str__(self) -> str:
        return self.title or self.guid or self.enclosure_url


class EpisodeItem(models.Model):
    """A pair of GUID and enclosure that an episode has or had, so that old item ids always resolve.

    ``item_hash``: the digest of feed, GUID and enclosure (``feeds.keys.item_hash``). For a pair that came
    from a merged feed, the digest is made with that feed's id: ``merged_from``.
    """

    item_hash = models.BinaryField(primary_key=True, max_length=16)
    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="+", db_index=False)
    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="items")
    enclosure_url = models.TextField(default="", db_default="")
    merged_from = models.BigIntegerField(null=True)

    class Meta:
        db_table = '"system"."episode_items"'

    def __str__(self) -> str:
        return self.enclosure_url


class HubSubscription(models.Model):
    """A WebSub subscription to a feed, at the hub that the feed names (``feeds.hubs``).

    ``callback`` is the last part of the address that the hub sends to; only the hub knows it. ``asked_at``:
    when the hub was last asked, None where it refused; ``ask_at``: when it is asked next, None until the feed
    has been fetched successfully after ``since``. ``lease_until``: when the subscription ends. ``due_at``:
    when the last push made the feed due.
    """

    feed = models.OneToOneField(Feed, on_delete=models.CASCADE, primary_key=True, related_name="+")
    hub = models.TextField()
    topic = models.TextField()
    callback = models.TextField(unique=True)
    since = models.DateTimeField()
    asked_at = models.DateTimeField(null=True)
    ask_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)

    class Meta:
        db_table = '"system"."websub"'

    def __str__(self) -> str:
        return f"feed {self.feed_id}"


class EnrichedPodcast(models.Model):
    """The operator's additions to a publisher's description of a podcast, shown to everybody who sees it.

    They belong to an address, even one without a known feed, and so survive moves, merges, and the removal of
    a feed without followers. ``links``: objects with ``url`` and ``title``.
    """

    feed_key = models.UUIDField(primary_key=True, editable=False)
    url = models.TextField(unique=True)
    slug = models.SlugField(unique=True, max_length=64)
    color = models.CharField(
        max_length=7,
        blank=True,
        default="",
        db_default="",
        validators=[RegexValidator("^#[0-9a-f]{6}$", "Red, green and blue in hexadecimal: #2f6f4e.")],
    )
    links = models.JSONField(blank=True, default=list, db_default=[])
    note = models.TextField(blank=True, default="", db_default="", max_length=4_000)
    featured = models.BooleanField(default=False, db_default=False)

    class Meta:
        db_table = '"system"."enriched_podcasts"'
        constraints = [
            models.CheckConstraint(condition=~models.Q(slug=""), name="enriched_podcasts_have_slugs")
        ]

    def __str__(self) -> str:
        return self.slug


class FetchedDocument(models.Model):
    """Chapters or a transcript, fetched when somebody asked for them (``feeds.supplements``).

    ``content``: what was read from the document, as JSON. ``error``: the code of the failure, if any.
    """

    url_digest = models.BinaryField(primary_key=True, max_length=16)
    content = models.BinaryField(default=b"", db_default=b"")
    error = models.TextField(default="", db_default="")
    fetched_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = '"system"."fetched_documents"'

    def __str__(self) -> str:
        return bytes(self.url_digest).hex()
