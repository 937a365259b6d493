"""What must be true at the end of a soak: each check yields the faults that it finds."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from tests.e2e.instances import Instance, eventually
from tests.soak import people, world
from tests.soak.listeners import Listener
from tests.soak.live import LiveDevice
from tests.soak.memory import Json, Shown, scope, shown

SCHEMAS = ("system", "events", "users", "public")
PODCASTS = ("system.feeds", "system.feed_aliases")
# every rebuild draws these anew
RANDOM = ["id", "public_id"]
# tables about the operation of projectors and migrations, which say nothing about rows
OPERATION = ("projector_positions", "dead_letters", "django_migrations")
# its rows depend on when the worker took some out
WORKED_OFF = "users.popularity_due"
SHOWN_FAULTS = 3
# seconds
LIVE_WITHIN = 10
REBUILDS = 3
# Seconds of a podcast are rounded. Where two play at once, a break of a minute counts for what is around it.
ROUNDED, BREAKS = 5, 0.2
RETENTION = timedelta(days=45)
# psycopg's message about a batch whose session PostgreSQL has ended. A projector that a busy machine delays
# by 3 s, or whose transaction meets a jump of the clock, is ended like this on purpose; it logs a message of
# its own, and continues from its position.
ENDED_BY_POSTGRESQL = "psycopg error ignored terminating <psycopg.Pipeline [BAD]"

Connection = psycopg.Connection[Any]
Rows = Counter[str]


def settle(instance: Instance) -> None:
    """Wait until every projector has come to the end of the log."""
    with instance.store() as store:
        eventually(lambda: _behind(store) == 0, 60)


def _behind(store: Connection) -> int:
    row = store.execute(
        "SELECT (SELECT coalesce(max(position), 0) FROM events.events) - coalesce(min(position), 0)"
        " FROM users.projector_positions"
    ).fetchone()
    return max(0, int(row[0])) if row else 0


def nothing_set_aside(instance: Instance) -> Iterator[str]:
    with instance.store() as store:
        for projector, position, error in store.execute(
            "SELECT projector, position, error FROM users.dead_letters LIMIT %s", [SHOWN_FAULTS]
        ):
            yield f"{projector} could not apply the event at {position}: {error[:300]}"


def views_agree(listener: Listener) -> Iterator[str]:
    """Yield the differences between every device's screen, a new device's screen and the read models."""
    newcomer = type(listener.devices[0])(listener.devices[0].wire, listener.devices[0].clock)
    newcomer.sync()
    expected = newcomer.view()
    for device in listener.devices:
        yield from _differences(f"the {device.wire.device_name}", device.view(), expected)
    if listener.live_device is not None:
        yield from _live_agrees(listener.live_device, expected)
    newcomer.position = max((device.position for device in listener.devices), key=int, default="")
    yield from _differences(f"the pages of {listener.account.username}", read(newcomer.read), expected)


def _live_agrees(live: LiveDevice, expected: list[Shown]) -> Iterator[str]:
    """Yield the faults on the screen of a device on a live connection, once the last changes have arrived."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: not list(_differences("", live.device.view(), expected)), LIVE_WITHIN)
    live.stop()
    if live.ended:
        yield f"the {live.device.wire.device_name} was told that its account is closed"
    yield from _differences(f"the {live.device.wire.device_name}", live.device.view(), expected)


class Hours(NamedTuple):
    """The hours that listeners heard and the statistics count, and how wrong the rules may be (``error``)."""

    heard: float = 0.0
    counted: float = 0.0
    error: Counter[str] = Counter()  # seconds by cause

    def plus(self, other: "Hours") -> "Hours":
        return Hours(self.heard + other.heard, self.counted + other.counted, self.error + other.error)

    def __str__(self) -> str:
        causes = ", ".join(f"{seconds / 3600:.1f} {cause}" for cause, seconds in self.error.most_common())
        share = self.counted / self.heard - 1 if self.heard else 0
        return f"heard {self.heard:.1f} hours, counted {self.counted:.1f} ({share:+.1%}); explained: {causes}"


def statistics_agree(listener: Listener, now: datetime) -> tuple[Hours, list[str]]:
    """Compare the statistics of a listener with what was heard, by podcast and in total. Return the hours and
    the faults."""
    sums, counted = listener.listening.sums(), _counted(listener, now)
    faults = []
    for feed in sums.heard.keys() | counted.keys():
        allowed = sums.error[feed] + sums.at_once[feed] + ROUNDED
        if abs(sums.heard[feed] - counted[feed]) > allowed:
            faults.append(_wrong_count(listener, feed, sums.heard[feed], counted[feed], allowed))
    heard, total, error = (sum(of.values()) for of in (sums.heard, counted, sums.error))
    explained = error + BREAKS * sum(sums.at_once.values()) + ROUNDED * len(counted)
    if abs(heard - total) > explained:
        faults.append(_wrong_count(listener, "all", heard, total, explained))
    return Hours(heard / 3600, total / 3600, sums.causes), faults


def _counted(listener: Listener, now: datetime) -> Counter[str]:
    """Return the seconds counted by podcast over two years, as some devices' clocks are a year behind."""
    listened = {one.episode.feed for one in listener.listening.reports} - listener.listening.removed
    found: Counter[str] = Counter()
    for last in (now.date(), now.date() - timedelta(days=366)):
        query = f"?by=podcast&from={last - timedelta(days=365)}&to={last}"
        for row in listener.devices[0].read("/api/v1/statistics" + query)["rows"]:
            if row["key"] in listened:
                found[row["key"]] += row["seconds"]
    return found


def _wrong_count(listener: Listener, of: str, heard: float, counted: float, allowed: float) -> str:
    who = f"{listener.account.username} heard {heard:.0f} s of {of}"
    return f"{who}, and {counted:.0f} are counted; the rules explain {allowed:.0f}"


def read(get: Callable[[str], Json]) -> list[Shown]:
    """Return what the read models show, in the shape of a sync."""
    found: dict[str, list[Json]] = {
        "subscriptions": _pages(get, "/api/v1/subscriptions?limit=100", "subscriptions"),
        "play_statuses": _pages(get, "/api/v1/plays?limit=100", "play_statuses"),
        "saved_episodes": _pages(get, "/api/v1/episodes/saved?limit=100", "saved_episodes"),
        "privacy_settings": _pages(get, "/api/v1/privacy?limit=100", "settings"),
    }
    for topic, one, inside in (("playlists", "playlist", "items"), ("collections", "collection", "feeds")):
        listed = _pages(get, f"/api/v1/{topic}?limit=100", topic)
        paths = [f"/api/v1/{topic}/{entry['id']}?limit=100" for entry in listed]
        found[topic] = [{**get(path)[one], inside: _pages(get, path, inside)} for path in paths]
    # a default collection holds every followed feed, which a sync reports only as subscriptions
    for entry in found["collections"]:
        if entry["is_default"]:
            entry["feeds"] = []
    views = [one for topic, entries in found.items() for one in shown(topic, entries)]
    return sorted(views, key=lambda one: one[:2])


def _pages(get: Callable[[str], Json], path: str, name: str) -> list[Json]:
    entries: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get(path + cursor)
        entries += page.get(name, [])
        following = page.get("next_cursor")
        cursor = f"&cursor={following}" if following else None
    return entries


def _differences(whose: str, view: list[Shown], expected: list[Shown]) -> Iterator[str]:
    here, there = ({one[:2]: one.what for one in of} for of in (view, expected))
    wrong = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    for topic, key in wrong[:SHOWN_FAULTS]:
        mine, theirs = here.get((topic, key)), there.get((topic, key))
        yield f"{whose} shows {mine} for {topic} {key}, the server {theirs}"


def rebuild_equals_live(instance: Instance) -> Iterator[str]:
    """Compare the read tables before and after a rebuild from the events that retention has left."""
    for _ in range(REBUILDS):
        settle(instance)
        head, live = read_tables(instance)
        instance.manage("rebuild_projections")
        settle(instance)
        now, rebuilt = read_tables(instance)
        if now == head:  # otherwise the worker has recorded something in between
            break
    else:
        yield "the log never came to rest"
    for table in live:
        gone, new = live[table] - rebuilt[table], rebuilt[table] - live[table]
        if gone or new:
            yield f"{table}: {gone.total()} rows are live alone, {new.total()} only rebuilt"
            yield from (f"  live    {row[:400]}" for row in list(gone)[:SHOWN_FAULTS])
            yield from (f"  rebuilt {row[:400]}" for row in list(new)[:SHOWN_FAULTS])


def read_tables(instance: Instance) -> tuple[int, Mapping[str, Rows]]:
    """Return the head of the log, and the rows of every read table as text, without random columns."""
    with instance.store() as store, store.transaction():
        store.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        head = store.execute("SELECT coalesce(max(position), 0) FROM events.events").fetchone()
        names = [name for name in _tables(store, ("users", "public")) if name != WORKED_OFF]
        tables = {name: _rows(store, *name.split(".")) for name in names}
        # ids are random, so the contents of the rows show which public row is whose
        tables["users.activity, and what is shown of it"] = Counter(
            text
            for (text,) in store.execute(
                "SELECT concat(to_jsonb(own) - %s::text[], to_jsonb(shown) - %s::text[])"
                " FROM users.activity own LEFT JOIN public.public_events shown ON shown.id = own.public_id",
                [RANDOM, RANDOM],
            )
        )
    return int(head[0]) if head else 0, tables


def _tables(store: Connection, schemas: Iterable[str]) -> list[str]:
    found = store.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2",
        [list(schemas)],
    )
    return [f"{schema}.{table}" for schema, table in found if table not in OPERATION]


def _rows(store: Connection, schema: str, table: str) -> Rows:
    query = sql.SQL("SELECT (to_jsonb(of) - %s::text[])::text FROM {} of").format(
        sql.Identifier(schema, table)
    )
    return Counter(text for (text,) in store.execute(query, [RANDOM]))


def nothing_private_is_public(instance: Instance, listeners: list[Listener]) -> Iterator[str]:
    """Compare the public tables with what every listener's own settings allow."""
    levels = {one.account.user_id: Levels(one) for one in listeners if not one.erased}
    words = people.never_public(listeners)
    with instance.store() as store:
        for name in _tables(store, ("public",)):
            text = "\n".join(_rows(store, *name.split(".")))
            yield from (f"{name} holds {word}" for word in words if word in text)
        rows = store.execute(
            "SELECT kind, rss_source_feed, rss_source_item, happened_at, user_id::text"
            " FROM public.public_events"
        ).fetchall()
        yield from _unallowed(rows, levels)
        yield from _missing(rows, levels, _oldest_shown(store))
        yield from _too_few(store, rows)


class Levels:
    """A listener's privacy settings and subscriptions, as a device shows them."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        memory = listener.devices[0].memory
        settings = memory.of("privacy_settings")
        self._by_scope = {key: entry["privacy"] for key, entry in settings.items() if entry["privacy"]}
        self.subscriptions = memory.of("subscriptions")

    def of(self, feed: str, item: str | None) -> str:
        """Return the level in force: the most specific setting decides, and the default is private."""
        scopes = (scope(feed, item), scope(feed, None), scope(None, None))
        return next((self._by_scope[one] for one in scopes if one in self._by_scope), "private")


def _unallowed(rows: list[Any], levels: Mapping[str, Levels]) -> Iterator[str]:
    anonymous: Counter[tuple[str, str, str | None]] = Counter()
    for kind, feed, item, happened_at, user_id in rows:
        if user_id is None:
            anonymous[kind, feed, item] += 1
            if (happened_at.minute, happened_at.second, happened_at.microsecond) != (0, 0, 0):
                yield f"an anonymous {kind} tells its time: {happened_at}"
        elif user_id not in levels:
            yield f"a {kind} of somebody who is not there: {user_id}"
        elif (level := levels[user_id].of(feed, item)) != "public":
            yield f"a {kind} of {levels[user_id].listener.account.username} is public, and should be {level}"
    for (kind, feed, item), count in anonymous.items():
        allowed = sum(one.of(feed, item) == "anonymous" for one in levels.values())
        if kind != "share" and count > allowed:  # every share counts
            yield f"{count} anonymous rows of {kind} {feed} {item}, of {allowed} listeners"


def _missing(rows: list[Any], levels: Mapping[str, Levels], oldest: datetime) -> Iterator[str]:
    """Yield what should be public and is not: the subscriptions of those who follow a feed openly."""
    there = {(feed, user_id) for kind, feed, _, _, user_id in rows if kind == "subscribe"}
    for user_id, one in levels.items():
        for feed, entry in one.subscriptions.items():
            if feed == one.listener.paid.feed or one.of(feed, None) != "public":
                continue
            if not any(shown("subscriptions", [entry])):  # no longer followed
                continue
            recent = datetime.fromisoformat(entry["subscribed_at"]) > oldest
            if recent and (feed, user_id) not in there:
                yield f"{one.listener.account.username} follows {feed} openly, and is not shown"


def _oldest_shown(store: Connection) -> datetime:
    """Return the time before which the public history has been trimmed."""
    row = store.execute(
        "SELECT coalesce(max((data ->> 'before')::timestamptz), '-infinity') FROM events.events"
        " WHERE type = 'PublicHistoryTrimmed'"
    ).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def _too_few(store: Connection, rows: list[Any]) -> Iterator[str]:
    """Yield the figures that are based only on too few anonymous listeners."""
    named = Counter(feed for _, feed, _, _, user_id in rows if user_id is not None)
    anonymous = Counter(feed for _, feed, _, _, user_id in rows if user_id is None)
    for feed, score in store.execute("SELECT rss_source_feed, score FROM public.podcast_popularity"):
        # fewer than three rows come from fewer than three listeners
        if not named[feed] and 0 < anonymous[feed] < 3:
            yield f"{feed} has a score of {score}, from {anonymous[feed]} anonymous rows"


def removed_is_gone(instance: Instance, listeners: list[Listener]) -> Iterator[str]:
    """Yield what is left of removed podcasts and erased accounts in any table.

    The tables of public podcasts are left out: they name no listener, and a podcast leaves them when nobody
    has wanted it for 90 days.
    """
    words = [word for one in listeners for show in one.regretted for word in world.words(show)]
    erased = [one for one in listeners if one.erased]
    words += [word for one in erased for word in (*people.words(one), *world.words(one.own))]
    if not words:
        return
    with instance.store() as store:
        for name in _tables(store, SCHEMAS):
            if name in PODCASTS:
                continue
            text = "\n".join(_texts(store, name))
            yield from (f"{name} still holds {word}" for word in words if word in text)


def _texts(store: Connection, name: str) -> Iterator[str]:
    """Yield every row as text, with the contents of binary columns."""
    schema, table = name.split(".")
    columns = store.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s AND data_type = 'bytea'",
        [schema, table],
    ).fetchall()
    of = sql.Identifier(schema, table)
    for (text,) in store.execute(sql.SQL("SELECT to_jsonb(of)::text FROM {} of").format(of)):
        yield text
    for (column,) in columns:
        query = sql.SQL("SELECT encode({}, 'escape') FROM {}").format(sql.Identifier(column), of)
        for (text,) in store.execute(query):
            yield text or ""


def logs_are_clean(instance: Instance, listeners: list[Listener]) -> Iterator[str]:
    """Yield failures, tokens, and anything that reveals what a listener hears, found in the log output."""
    output = instance.output
    for sign in ("Traceback", " error ", " ERROR ", "eyJ"):
        lines = [line for line in instance.lines if sign in line and ENDED_BY_POSTGRESQL not in line]
        yield from (f"the log has {sign.strip()}: {line[:300]}" for line in lines[:SHOWN_FAULTS])
    for listener in listeners:
        words = [*world.words(listener.own), *world.words(listener.paid)]
        words += [word for show in listener.regretted for word in world.words(show)]
        yield from (f"the log has {word}" for word in words if word in output)


def old_events_are_gone(instance: Instance, now: datetime) -> Iterator[str]:
    """Yield a fault if there are events older than the retention that are neither checkpoints nor the last of
    their stream."""
    with instance.store() as store:
        row = store.execute(
            "SELECT count(*) FROM events.events old JOIN events.streams ON streams.id = old.stream"
            " WHERE recorded_at < %s AND streams.name LIKE 'user-%%' AND type <> 'UserCheckpoint' AND EXISTS"
            " (SELECT 1 FROM events.events later WHERE later.stream = old.stream"
            " AND later.version > old.version)",
            [now - RETENTION],
        ).fetchone()
    if row and row[0]:
        yield f"{row[0]} events are older than {RETENTION.days} days, and still there"
