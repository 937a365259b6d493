import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# Letters that Unicode does not part into a letter and its accent become what people type, and signs become
# spaces: else PostgreSQL's parser takes a host, a path or a number with its sign for one word, and where the
# locale is C whatever is not ASCII for a letter. It drops tags; one that ends must still look like one.
# Every name has its schema: pg_restore fills indexes too, and has no search_path. One expression each, so that
# the planner inlines them: a call costs more than what it does.
SEARCH = r"""
CREATE FUNCTION system.folded(written text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN pg_catalog.octet_length(written) = pg_catalog.length(written)
       THEN pg_catalog.translate(pg_catalog.lower(written), '-./@_+', '      ')
       ELSE pg_catalog.translate(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.lower(
            pg_catalog.regexp_replace(normalize(written, NFKD), '[\u0300-\u036f]+', '', 'g')),
            'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'),
            'øđłı-./@_+’‘‚“”„«»‹›–—―·•¿¡、。「」『』・', pg_catalog.rpad('odli', 40)) END
$$;
CREATE FUNCTION system.search_words(written text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT pg_catalog.to_tsvector('pg_catalog.simple'::regconfig,
                              system.folded(pg_catalog.replace(written, '</', '<')))
$$;
CREATE FUNCTION system.feed_words(title text, author text, description text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT pg_catalog.setweight(system.search_words(title), 'A')
    || pg_catalog.setweight(system.search_words(author), 'B')
    || system.search_words(pg_catalog.left(description, 2000))
$$;
CREATE FUNCTION system.search_query(written text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT pg_catalog.to_tsquery('pg_catalog.simple'::regconfig, pg_catalog.string_agg(
       pg_catalog.quote_literal(word) || CASE WHEN pg_catalog.length(word) > 1 THEN ':*' ELSE '' END, ' & '))
  FROM pg_catalog.unnest(pg_catalog.tsvector_to_array(system.search_words(written))) AS word
$$;
"""
NO_SEARCH = "DROP FUNCTION system.search_query, system.feed_words, system.search_words, system.folded"

# Web processes keep what lists show of feeds for as long as these versions stay the same (feeds.queries.version).
# A transaction changes one that no other transaction is changing, or adds one, so that none waits for another;
# and only once, because a row that is updated thousands of times in a transaction becomes slow.
VERSIONS = """
CREATE FUNCTION system.note_feed_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('balados.feed_change_noted', true) IS DISTINCT FROM 'on' THEN
        PERFORM set_config('balados.feed_change_noted', 'on', true);
        UPDATE system.feed_versions SET version = gen_random_uuid()
         WHERE version = (SELECT version FROM system.feed_versions LIMIT 1 FOR UPDATE SKIP LOCKED);
        IF NOT FOUND THEN
            INSERT INTO system.feed_versions DEFAULT VALUES;
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_feed_change
 AFTER UPDATE OF uid, url, title, cover_url, is_secret, merged_into_id ON system.feeds FOR EACH ROW
  WHEN ((old.uid, old.url, old.title, old.cover_url, old.is_secret, old.merged_into_id)
        IS DISTINCT FROM (new.uid, new.url, new.title, new.cover_url, new.is_secret, new.merged_into_id))
EXECUTE FUNCTION system.note_feed_change();
CREATE TRIGGER note_feed_change AFTER INSERT OR UPDATE OR DELETE ON system.feed_aliases FOR EACH ROW
EXECUTE FUNCTION system.note_feed_change();
CREATE TRIGGER note_feed_change AFTER INSERT OR UPDATE OR DELETE ON system.enriched_podcasts FOR EACH ROW
EXECUTE FUNCTION system.note_feed_change();
"""
NO_VERSIONS = "DROP FUNCTION system.note_feed_change CASCADE"


class Migration(migrations.Migration):
    dependencies = [
        ("feeds", "0001_categories"),
    ]

    operations = [
        migrations.RunSQL(SEARCH, NO_SEARCH),
        migrations.CreateModel(
            name="Episode",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.BinaryField(max_length=16)),
                ("guid", models.TextField(db_default="", default="")),
                ("enclosure_url", models.TextField(db_default="", default="")),
                ("enclosure_type", models.TextField(db_default="", default="")),
                ("enclosure_length", models.BigIntegerField(db_default=-1, default=-1)),
                ("title", models.TextField(db_default="", default="")),
                ("link", models.TextField(db_default="", default="")),
                ("description", models.TextField(db_default="", default="")),
                ("published_at", models.DateTimeField(null=True)),
                ("sort_at", models.DateTimeField()),
                ("duration", models.IntegerField(null=True)),
                ("image_url", models.TextField(db_default="", default="")),
                ("season", models.IntegerField(null=True)),
                ("number", models.IntegerField(null=True)),
                ("kind", models.TextField(db_default="", default="")),
                ("explicit", models.BooleanField(null=True)),
                ("blocked", models.BooleanField(db_default=False, default=False)),
                ("extra", models.JSONField(db_default={}, default=dict)),
                ("content_hash", models.BinaryField(max_length=16)),
                ("text_changes", models.SmallIntegerField(db_default=0, default=0)),
                ("text_changed_at", models.DateTimeField(null=True)),
                ("first_seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("gone_at", models.DateTimeField(null=True)),
                ("merged_from", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": '"system"."episodes"',
            },
        ),
        migrations.CreateModel(
            name="Feed",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("url", models.TextField(unique=True)),
                ("podcast_guid", models.UUIDField(db_index=True, null=True)),
                ("is_secret", models.BooleanField(db_default=False, default=False)),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("new", "New"),
                            ("active", "Active"),
                            ("failing", "Failing"),
                            ("gone", "Gone"),
                            ("dead", "Dead"),
                            ("merged", "Merged"),
                        ],
                        db_default="new",
                        default="new",
                    ),
                ),
                ("title", models.TextField(db_default="", default="")),
                ("author", models.TextField(db_default="", default="")),
                ("description", models.TextField(db_default="", default="")),
                ("link", models.TextField(db_default="", default="")),
                ("cover_url", models.TextField(db_default="", default="")),
                ("language", models.TextField(db_default="", default="")),
                ("copyright", models.TextField(db_default="", default="")),
                ("kind", models.TextField(db_default="", default="")),
                ("medium", models.TextField(db_default="", default="")),
                ("explicit", models.BooleanField(null=True)),
                ("blocked", models.BooleanField(db_default=False, default=False)),
                ("complete", models.BooleanField(db_default=False, default=False)),
                ("locked", models.BooleanField(db_default=False, default=False)),
                ("owner_email", models.TextField(db_default="", default="")),
                ("hub_url", models.TextField(db_default="", default="")),
                ("self_url", models.TextField(db_default="", default="")),
                ("new_feed_url", models.TextField(db_default="", default="")),
                (
                    "categories",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), db_default=[], default=list, size=None
                    ),
                ),
                ("episode_count", models.IntegerField(db_default=0, default=0)),
                ("newest_at", models.DateTimeField(null=True)),
                ("extra", models.JSONField(db_default={}, default=dict)),
                ("warnings", models.JSONField(db_default=[], default=list)),
                ("reader_version", models.SmallIntegerField(db_default=0, default=0)),
                ("version", models.BigIntegerField(db_default=0, default=0)),
                ("first_seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "words",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Func(
                            "title", "author", "description", function="system.feed_words"
                        ),
                        output_field=django.contrib.postgres.search.SearchVectorField(),
                    ),
                ),
                (
                    "merged_into",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feeds.feed",
                    ),
                ),
            ],
            options={
                "db_table": '"system"."feeds"',
            },
        ),
        migrations.CreateModel(
            name="FeedHost",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.TextField(unique=True)),
                ("paused_until", models.DateTimeField(null=True)),
                ("pauses", models.SmallIntegerField(db_default=0, default=0)),
                ("failures", models.IntegerField(db_default=0, default=0)),
                ("failed_at", models.DateTimeField(null=True)),
                ("feeds", models.IntegerField(db_default=0, default=0)),
                ("connections", models.SmallIntegerField(db_default=2, default=2)),
            ],
            options={
                "db_table": '"system"."feed_hosts"',
            },
        ),
        migrations.CreateModel(
            name="EpisodeItem",
            fields=[
                ("item_hash", models.BinaryField(max_length=16, primary_key=True, serialize=False)),
                ("enclosure_url", models.TextField(db_default="", default="")),
                ("merged_from", models.BigIntegerField(null=True)),
                (
                    "episode",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="items", to="feeds.episode"
                    ),
                ),
                (
                    "feed",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="feeds.feed",
                    ),
                ),
            ],
            options={
                "db_table": '"system"."episode_items"',
            },
        ),
        migrations.AddField(
            model_name="episode",
            name="feed",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="episodes",
                to="feeds.feed",
            ),
        ),
        migrations.CreateModel(
            name="FeedAlias",
            fields=[
                ("feed_key", models.UUIDField(primary_key=True, serialize=False)),
                ("url", models.TextField(unique=True)),
                (
                    "reason",
                    models.TextField(
                        choices=[
                            ("typed", "Typed"),
                            ("twin", "Twin"),
                            ("moved", "Moved"),
                            ("new_feed_url", "New Feed Url"),
                            ("merged", "Merged"),
                            ("operator", "Operator"),
                        ],
                        db_default="typed",
                        default="typed",
                    ),
                ),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "feed",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="aliases", to="feeds.feed"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "feed aliases",
                "db_table": '"system"."feed_aliases"',
            },
        ),
        migrations.CreateModel(
            name="FeedMove",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "feed_id", "to_url", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("to_url", models.TextField()),
                ("from_url", models.TextField(db_default="", default="")),
                (
                    "reason",
                    models.TextField(
                        choices=[
                            ("typed", "Typed"),
                            ("twin", "Twin"),
                            ("moved", "Moved"),
                            ("new_feed_url", "New Feed Url"),
                            ("merged", "Merged"),
                            ("operator", "Operator"),
                        ]
                    ),
                ),
                ("first_seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("times", models.IntegerField(db_default=1, default=1)),
                ("same_show", models.BooleanField(db_default=False, default=False)),
                (
                    "decided",
                    models.TextField(
                        choices=[("followed", "Followed"), ("refused", "Refused"), ("waiting", "Waiting")],
                        null=True,
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True)),
                ("undo", models.JSONField(null=True)),
                (
                    "feed",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="moves",
                        to="feeds.feed",
                    ),
                ),
            ],
            options={
                "db_table": '"system"."feed_moves"',
            },
        ),
        migrations.CreateModel(
            name="FeedSchedule",
            fields=[
                (
                    "feed",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="schedule",
                        serialize=False,
                        to="feeds.feed",
                    ),
                ),
                ("slot", models.SmallIntegerField()),
                ("next_at", models.DateTimeField(db_index=True, null=True)),
                ("etag", models.TextField(db_default="", default="")),
                ("last_modified", models.TextField(db_default="", default="")),
                ("validators_url", models.TextField(db_default="", default="")),
                ("body_hash", models.BinaryField(max_length=16, null=True)),
                ("interval_s", models.IntegerField(db_default=21600, default=21600)),
                ("fetched_at", models.DateTimeField(null=True)),
                ("ok_at", models.DateTimeField(null=True)),
                ("failures", models.IntegerField(db_default=0, default=0)),
                ("error", models.TextField(db_default="", default="")),
                ("error_since", models.DateTimeField(null=True)),
                ("status", models.SmallIntegerField(null=True)),
                ("episodes", models.IntegerField(db_default=0, default=0)),
                ("shrunk", models.BooleanField(db_default=False, default=False)),
                ("followers", models.IntegerField(db_default=0, default=0)),
                ("asked_at", models.DateTimeField(null=True)),
                (
                    "host",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feeds.feedhost",
                    ),
                ),
            ],
            options={
                "db_table": '"system"."feed_schedule"',
            },
        ),
        migrations.AddIndex(
            model_name="episode",
            index=models.Index(
                models.F("feed"),
                models.OrderBy(models.F("sort_at"), descending=True),
                name="episodes_newest_first",
            ),
        ),
        migrations.AddConstraint(
            model_name="episode",
            constraint=models.UniqueConstraint(fields=("feed", "key"), name="episodes_have_one_key"),
        ),
        migrations.CreateModel(
            name="EnrichedPodcast",
            fields=[
                ("feed_key", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("url", models.TextField(unique=True)),
                ("slug", models.SlugField(max_length=64, unique=True)),
                (
                    "color",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        max_length=7,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^#[0-9a-f]{6}$", "Red, green and blue in hexadecimal: #2f6f4e."
                            )
                        ],
                    ),
                ),
                ("links", models.JSONField(blank=True, db_default=[], default=list)),
                ("note", models.TextField(blank=True, db_default="", default="", max_length=4000)),
                ("featured", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "db_table": '"system"."enriched_podcasts"',
            },
        ),
        migrations.AddConstraint(
            model_name="enrichedpodcast",
            constraint=models.CheckConstraint(
                condition=models.Q(("slug", ""), _negated=True), name="enriched_podcasts_have_slugs"
            ),
        ),
        migrations.AddIndex(
            model_name="episode",
            index=models.Index(
                models.OrderBy(models.F("sort_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="episodes_newest_of_all",
            ),
        ),
        migrations.AddIndex(
            model_name="episode",
            index=django.contrib.postgres.indexes.GinIndex(
                models.Func("title", function="system.search_words"), name="episodes_by_words"
            ),
        ),
        migrations.AddIndex(
            model_name="feed",
            index=django.contrib.postgres.indexes.GinIndex(fields=["words"], name="feeds_by_words"),
        ),
        migrations.AddIndex(
            model_name="feed",
            index=django.contrib.postgres.indexes.GinIndex(fields=["categories"], name="feeds_by_category"),
        ),
        migrations.AddIndex(
            model_name="feed",
            index=models.Index(
                fields=["id"],
                condition=models.Q(("new_feed_url", ""), _negated=True),
                name="feeds_with_new_address",
            ),
        ),
        migrations.CreateModel(
            name="FetchedDocument",
            fields=[
                ("url_digest", models.BinaryField(max_length=16, primary_key=True, serialize=False)),
                ("content", models.BinaryField(db_default=b"", default=b"")),
                ("error", models.TextField(db_default="", default="")),
                ("fetched_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "db_table": '"system"."fetched_documents"',
            },
        ),
        migrations.CreateModel(
            name="HubSubscription",
            fields=[
                (
                    "feed",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="feeds.feed",
                    ),
                ),
                ("hub", models.TextField()),
                ("topic", models.TextField()),
                ("callback", models.TextField(unique=True)),
                ("since", models.DateTimeField()),
                ("asked_at", models.DateTimeField(null=True)),
                ("ask_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": '"system"."websub"',
            },
        ),
        # one row is written at each fetch: room for it in its page keeps the index out of it (HOT)
        migrations.RunSQL(
            'ALTER TABLE "system"."feed_schedule" SET (fillfactor = 70)', migrations.RunSQL.noop
        ),
        migrations.CreateModel(
            name="FeedVersion",
            fields=[
                (
                    "version",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        primary_key=True,
                        serialize=False,
                    ),
                ),
            ],
            options={
                "db_table": '"system"."feed_versions"',
            },
        ),
        migrations.RunSQL(VERSIONS, NO_VERSIONS),
    ]
