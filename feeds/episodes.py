"""Stores the content of a document: its channel, and those of its episodes that differ from the stored ones.

The keys and digests of the stored episodes are read first (2.7 ms for 2,000 episodes); while the document is
read, each unchanged episode is dropped at once. An incomplete document never marks episodes as gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connections
from msgspec import structs

from feeds.documents import Channel, Document, Episode
from feeds.keys import episode_key, item_hash, repeated_guid_key
from feeds.models import Feed
from feeds.store import UNSYNCED, as_rows, execute

# From this many rows on, COPY into a temporary table; below, one parameter. Emptying the table at the commit
# has its cost: with 100 rows storing took a quarter longer, with 300 as long, with 1,000 a tenth less.
COPY_FROM: Final = 300
# Texts that contain counters change at every fetch: this many changes are stored in a month, then no more.
TEXT_CHANGES: Final = 24
TEXT_WINDOW: Final = timedelta(days=30)
# episodes per feed; those that are gone are deleted first
MOST_KEPT: Final = 10_000
NEWEST: Final = 20

KNOWN = "SELECT key, content_hash, gone_at IS NOT NULL FROM system.episodes WHERE feed_id = %s"
VERSION = "SELECT version FROM system.feeds WHERE id = %s"
LOCK = f"""SELECT version FROM system.feeds, {UNSYNCED} WHERE id = %s AND merged_into_id IS NULL
   FOR NO KEY UPDATE OF feeds"""  # noqa: S608
# Columns of a row to be written, in the order of COPY; keys and digests in hexadecimal.
ROW: Final = {
    "key": "text",
    "guid": "text",
    "enclosure_url": "text",
    "enclosure_type": "text",
    "enclosure_length": "bigint",
    "title": "text",
    "link": "text",
    "description": "text",
    "published_at": "timestamptz",
    "duration": "integer",
    "image_url": "text",
    "season": "integer",
    "number": "integer",
    "kind": "text",
    "explicit": "boolean",
    "blocked": "boolean",
    "extra": "jsonb",
    "content_hash": "text",
    "sort_at": "timestamptz",
    "text_changes": "smallint",
    "text_changed_at": "timestamptz",
    "item_hash": "text",
}
_TYPED = ", ".join(f"{name} {kind}" for name, kind in ROW.items())
_PLAIN = [name for name in ROW if name not in ("key", "content_hash", "sort_at", "item_hash")]
TEMPORARY = f"CREATE TEMPORARY TABLE IF NOT EXISTS incoming_episodes ({_TYPED}) ON COMMIT DELETE ROWS"
COPY = f"COPY incoming_episodes ({', '.join(ROW)}) FROM STDIN"
GIVEN = f"WITH incoming_episodes AS (SELECT * FROM jsonb_to_recordset(%(rows)s) AS row ({_TYPED})),"  # noqa: S608
# An episode with a publishing date in the future is sorted by the time at which it was first seen.
WRITE = f"""written AS (
    INSERT INTO system.episodes AS known
           (feed_id, key, content_hash, sort_at, first_seen_at, changed_at, {", ".join(_PLAIN)})
    SELECT %(feed_id)s, decode(key, 'hex'), decode(content_hash, 'hex'), sort_at, %(now)s, %(now)s,
           {", ".join(_PLAIN)}
      FROM incoming_episodes
        ON CONFLICT (feed_id, key) DO UPDATE SET
           content_hash = excluded.content_hash, changed_at = excluded.changed_at, gone_at = NULL,
           sort_at = CASE WHEN excluded.published_at <= %(now)s THEN excluded.published_at
                          WHEN excluded.published_at IS NULL THEN known.sort_at
                          ELSE known.first_seen_at END,
           {", ".join(f"{name} = excluded.{name}" for name in _PLAIN)}
    RETURNING id, key)
INSERT INTO system.episode_items (item_hash, feed_id, episode_id, enclosure_url)
SELECT DISTINCT ON (item_hash) decode(item_hash, 'hex'), %(feed_id)s, written.id, enclosure_url
  FROM incoming_episodes JOIN written ON written.key = decode(incoming_episodes.key, 'hex')
    ON CONFLICT DO NOTHING"""  # noqa: S608
BEFORE = """SELECT key, title, enclosure_url, published_at, text_changes, text_changed_at
  FROM system.episodes WHERE feed_id = %s AND key = ANY(%s)"""
RENAMED = """SELECT key, enclosure_url FROM system.episodes
 WHERE feed_id = %s AND key = ANY(%s) AND enclosure_url = ANY(%s)
   AND (%s::timestamptz IS NULL OR sort_at >= %s)"""
RENAME = """UPDATE system.episodes SET key = decode(row.new, 'hex')
  FROM jsonb_to_recordset(%s) AS row (old text, new text)
 WHERE feed_id = %s AND key = decode(row.old, 'hex')"""
GONE = """UPDATE system.episodes SET gone_at = %s, changed_at = %s
 WHERE feed_id = %s AND key = ANY(%s) AND gone_at IS NULL AND sort_at >= %s"""
BACK = "UPDATE system.episodes SET gone_at = NULL, changed_at = %s WHERE feed_id = %s AND key = ANY(%s)"
TOO_MANY = """SELECT id FROM system.episodes WHERE feed_id = %s AND key <> ALL(%s)
 ORDER BY gone_at IS NULL, sort_at LIMIT %s"""
NEWEST_TIMES = """SELECT sort_at FROM system.episodes WHERE feed_id = %s AND gone_at IS NULL
 ORDER BY sort_at DESC LIMIT %s"""
# The fields of a channel that have a column.
CHANNEL: Final = [
    name for name in Channel.__struct_fields__ if name in {field.name for field in Feed._meta.fields}
]
_KINDS = {
    **dict.fromkeys(("explicit", "blocked", "complete", "locked"), "boolean"),
    "podcast_guid": "uuid",
    "categories": "text[]",
    "extra": "jsonb",
    "warnings": "jsonb",
    "episode_count": "integer",
    "newest_at": "timestamptz",
}
_SET = [*CHANNEL, "warnings", "episode_count", "newest_at"]
_ROW = ", ".join(f"{name} {_KINDS.get(name, 'text')}" for name in _SET)
_OLD, _NEW = (", ".join(f"{table}.{name}" for name in _SET) for table in ("old", "row"))
DESCRIBE = f"""UPDATE system.feeds SET
       {", ".join(f"{name} = row.{name}" for name in _SET)}, reader_version = %(reader)s,
       version = version + row.differs::integer,
       changed_at = CASE WHEN row.differs THEN %(now)s ELSE changed_at END
  FROM (SELECT row.*, %(written)s OR ({_OLD}) IS DISTINCT FROM ({_NEW}) AS differs
          FROM jsonb_to_record(%(row)s) AS row ({_ROW}), system.feeds AS old
         WHERE old.id = %(feed_id)s) AS row
 WHERE feeds.id = %(feed_id)s AND (row.differs OR reader_version <> %(reader)s)"""  # noqa: S608


_encode = msgspec.msgpack.Encoder().encode


class KnownEpisode(NamedTuple):
    content_hash: bytes
    is_gone: bool


class NewEpisode(NamedTuple):
    episode: Episode
    content_hash: bytes


class StoredMeanwhile(Exception):
    """Since its episodes were looked up, another worker stored the feed or it was merged into another one."""


class Stored(NamedTuple):
    """The result of storing a document. ``newest``: the times of the newest episodes, the newest first;
    ``episodes``: the count to compare the next document with; ``shrunk``: the document has fewer than half as
    many as before, and the next one decides whether that is true. ``delays``: seconds from publishing to
    storing, of new episodes in a feed that was known already."""

    written: int
    newest: list[datetime]
    episodes: int
    shrunk: bool
    delays: list[float]


class Intake:
    """Takes the episodes of a document as they are read; keeps those that are new or have changed."""

    def __init__(self, feed_id: int) -> None:
        self.feed_id = feed_id
        row = execute(VERSION, [feed_id]).fetchone()
        self.version: int = 0 if row is None else row[0]
        self.known = {key: KnownEpisode(*rest) for key, *rest in execute(KNOWN, [feed_id])}
        self.begin()

    def begin(self) -> Callable[[Episode], None]:
        """Discard the episodes of the reader's last attempt; return a function that takes those of the
        next."""
        self.seen: dict[bytes, str] = {}
        self.changed: dict[bytes, NewEpisode] = {}
        self.has_repeated_guid = False
        return self._take

    def _take(self, episode: Episode) -> None:
        key = episode_key(episode.guid, episode.enclosure_url)
        if key in self.seen:
            if self.seen[key] == episode.enclosure_url:
                return  # the same item repeated
            key = repeated_guid_key(episode.guid, episode.enclosure_url)
            self.has_repeated_guid = True
            if key in self.seen:
                return
        self.seen[key] = episode.enclosure_url
        digest = content_hash(episode)
        known = self.known.get(key)
        if known is None or known.content_hash != digest:
            self.changed[key] = NewEpisode(episode, digest)


def content_hash(episode: Episode) -> bytes:
    """Return the digest of everything that is stored of an episode."""
    return blake2b(_encode(episode), digest_size=16).digest()


def store(
    intake: Intake, document: Document, now: datetime, *, episodes_before: int, was_shrunk: bool, reader: int
) -> Stored:
    """Store a document whose episodes ``intake`` has taken, in the caller's transaction.

    ``episodes_before``: how many episodes the last complete document had; ``was_shrunk``: the last document
    had fewer than half of that. ``reader``: the version of the reader. Raises ``StoredMeanwhile``,
    ``psycopg.DataError``.
    """
    is_shrunk = not document.recovered and 2 * document.episode_count < episodes_before
    waits = is_shrunk and not was_shrunk
    row = execute(LOCK, [intake.feed_id]).fetchone()
    if row is None or row[0] != intake.version:
        raise StoredMeanwhile
    is_complete = not (document.recovered or waits)
    written, count = _store_episodes(intake, document, now, is_complete=is_complete)
    newest = [at for (at,) in execute(NEWEST_TIMES, [intake.feed_id, NEWEST])]
    _describe(intake, document, now, newest[:1], count=count, has_written=bool(written), reader=reader)
    keeps = document.recovered or waits
    episodes = episodes_before if keeps else document.episode_count
    return Stored(written, newest, episodes, waits, _delays(intake, now))


def _store_episodes(
    intake: Intake, document: Document, now: datetime, *, is_complete: bool
) -> tuple[int, int]:
    """Return how many rows were written, and how many episodes the feed has that are not gone."""
    feed_id, known = intake.feed_id, intake.known
    missing = [key for key in known if key not in intake.seen]
    renamed = _rename(intake, missing, document.oldest_at)
    back = [key for key in intake.seen if key not in intake.changed and key in known and known[key].is_gone]
    rows = _rows(intake, renamed, now)
    _write(feed_id, rows, now)
    if back:
        execute(BACK, [now, feed_id, back])
    gone = 0
    if is_complete and document.oldest_at is not None:
        left = [key for key in missing if not known[key].is_gone and key not in renamed]
        gone = execute(GONE, [now, now, feed_id, left, document.oldest_at]).rowcount if left else 0
    count = len(intake.seen) + sum(not known[key].is_gone for key in missing if key not in renamed) - gone
    count -= _trim(intake, len(missing) - len(renamed))
    return len(rows) + len(back) + gone, count


def _rename(intake: Intake, missing: Sequence[bytes], oldest_at: datetime | None) -> dict[bytes, bytes]:
    """Give new keys to episodes whose GUID the publisher has changed, recognised by their enclosure URLs,
    which must be unique; returns the new key of each old one.

    Only episodes that the document should still contain qualify, because an old episode's enclosure may be
    published a second time.
    """
    new: dict[str, list[bytes]] = {}
    for key, (episode, _) in intake.changed.items():
        if key not in intake.known and episode.enclosure_url:
            new.setdefault(episode.enclosure_url, []).append(key)
    if not (new and missing):
        return {}
    rows = execute(RENAMED, [intake.feed_id, list(missing), list(new), oldest_at, oldest_at]).fetchall()
    times = Counter(url for _, url in rows)
    renamed = {key: new[url][0] for key, url in rows if times[url] == len(new[url]) == 1}
    if renamed:
        pairs = [{"old": old.hex(), "new": key.hex()} for old, key in renamed.items()]
        execute(RENAME, [as_rows(pairs), intake.feed_id])
    return renamed


def _rows(intake: Intake, renamed: Mapping[bytes, bytes], now: datetime) -> list[dict[str, Any]]:
    """Return the rows to be written for episodes that are new or differ."""
    before = _before(intake, renamed)
    rows = []
    for place, (key, (episode, digest)) in enumerate(intake.changed.items()):
        changes = _text_changes(episode, before.get(key), now)
        if changes is None:
            continue
        published = episode.published_at
        # without dates, the first episode in the document counts as the newest
        first_seen = now - place * timedelta(microseconds=1)
        rows.append(
            {
                **structs.asdict(episode),
                "key": key.hex(),
                "content_hash": digest.hex(),
                "item_hash": item_hash(intake.feed_id, episode.guid, episode.enclosure_url).hex(),
                "sort_at": first_seen if published is None or published > now else published,
                "text_changes": changes[0],
                "text_changed_at": changes[1],
            }
        )
    return rows


def _before(intake: Intake, renamed: Mapping[bytes, bytes]) -> dict[bytes, tuple[Any, ...]]:
    """Return, by key, what is stored of the episodes that differ and are not gone."""
    keys = [key for key in intake.changed if key in intake.known and not intake.known[key].is_gone]
    keys += renamed.values()
    if not keys:
        return {}
    return {key: tuple(rest) for key, *rest in execute(BEFORE, [intake.feed_id, keys])}


def _text_changes(
    episode: Episode, before: tuple[Any, ...] | None, now: datetime
) -> tuple[int, datetime | None] | None:
    """Return how often only its texts have changed, and since when that is counted; None if too often."""
    if before is None:
        return 0, None
    *same, changes, since = before
    if same != [episode.title, episode.enclosure_url, episode.published_at]:
        return changes, since
    if since is None or now - since > TEXT_WINDOW:
        return 1, now
    return None if changes >= TEXT_CHANGES else (changes + 1, since)


def _write(feed_id: int, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    values = {"feed_id": feed_id, "now": now}
    if not rows:
        return
    if len(rows) < COPY_FROM:
        execute(GIVEN + WRITE, {**values, "rows": as_rows(rows)})
        return
    execute(TEMPORARY)
    with connections["system"].connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in rows:
            row["extra"] = msgspec.json.encode(row["extra"]).decode()
            copy.write_row([row[name] for name in ROW])
    execute("WITH " + WRITE, values)


def _trim(intake: Intake, others: int) -> int:
    """Delete the oldest episodes beyond a feed's limit, gone ones first; returns how many were not gone.

    ``others``: how many stored episodes the document does not contain.
    """
    over = min(len(intake.seen) + others - MOST_KEPT, others)
    if over <= 0:
        return 0
    ids = [row[0] for row in execute(TOO_MANY, [intake.feed_id, list(intake.seen), over])]
    execute("DELETE FROM system.episode_items WHERE episode_id = ANY(%s)", [ids])
    rows = execute("DELETE FROM system.episodes WHERE id = ANY(%s) RETURNING gone_at IS NULL", [ids])
    return sum(was_there for (was_there,) in rows)


def _describe(
    intake: Intake,
    document: Document,
    now: datetime,
    newest: Sequence[datetime],
    *,
    count: int,
    has_written: bool,
    reader: int,
) -> None:
    """Write the channel's description of itself, where it differs from what is stored."""
    row: dict[str, Any] = {name: getattr(document.channel, name) for name in CHANNEL}
    row["podcast_guid"] = _uuid(document.channel.podcast_guid)
    row["warnings"] = [*document.warnings, *(["repeated_guid"] if intake.has_repeated_guid else [])]
    row["episode_count"], row["newest_at"] = count, newest[0] if newest else None
    values = {"feed_id": intake.feed_id, "now": now, "written": has_written, "reader": reader}
    execute(DESCRIBE, {**values, "row": as_rows([row])[1:-1]})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _delays(intake: Intake, now: datetime) -> list[float]:
    """Return the seconds from publishing to storing; none at a first fetch, and none longer than a week."""
    if not intake.known:
        return []
    new: Iterable[Episode] = (each.episode for key, each in intake.changed.items() if key not in intake.known)
    ages = [(now - each.published_at).total_seconds() for each in new if each.published_at is not None]
    return [age for age in ages if 0 <= age < 7 * 86_400]
