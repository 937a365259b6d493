"""Marks, the numbers that podcast apps take for times: how much each app knows of a listener's stream.

Apps keep seconds in 32 bits, and each treats them in its own way: one stores the number of its last read,
another that of its last upload, a third adds one, a fourth sends its own clock. An app is therefore given a
mark, and a row says which version of the stream it stands for: changes are delivered in the order of arrival,
whatever the clocks of devices say. Marks are even, so that a mark plus one still means the same; unique for a
listener; and close to the server's clock.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from eventstore import changes
from eventstore.database import discard_when_broken, raw_connection
from eventstore.domain.episode_actions import EpisodeActionRecorded
from eventstore.domain.held_removals import RemovalHeld, RemovalSettled
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.prepared import Prepared
from projections.connect import run

# the events that apps are told of, in two topics that share their marks
Types = tuple[type[Event], ...]
SUBSCRIPTIONS: Final[Types] = (UserSubscribed, UserUnsubscribed, RemovalHeld, RemovalSettled)
EPISODES: Final[Types] = (PlayRecorded, PositionUpdated, EpisodeActionRecorded)
# How old a mark may be to be given again to an app that has news: Kasts repeats a request for as long as it
# gets an old mark.
FRESH: Final = timedelta(seconds=5)
# How many seconds marks may be ahead of the clock, and how many are subtracted from a clock that is no mark.
AHEAD_S: Final = 60
LATEST: Final = 2**31 - 2
# attempts to draw a mark, for writers of one listener who draw at the same moment
TRIES: Final = 32

LOOK = """
SELECT 0, app, mark, version, at FROM system.sync_marks WHERE user_id = %(user)s AND mark = ANY(%(named)s)
UNION ALL (SELECT 1, app, mark, version, at FROM system.sync_marks
            WHERE user_id = %(user)s AND app = %(app)s ORDER BY mark DESC LIMIT 1)
UNION ALL (SELECT 2, app, mark, version, at FROM system.sync_marks
            WHERE user_id = %(user)s AND mark <= %(before)s AND extract(epoch FROM at) <= %(before)s
            ORDER BY mark DESC LIMIT 1)
"""
# The unique key refuses a second writer that draws the same mark; another attempt then finds the next one.
DRAW = """
INSERT INTO system.sync_marks (user_id, app, mark, version, at)
SELECT %(user)s, %(app)s, next, %(version)s, %(now)s
  FROM (SELECT greatest(%(least)s::bigint, coalesce(max(mark), 0) + 2) AS next
          FROM system.sync_marks WHERE user_id = %(user)s) AS drawn
 WHERE next <= %(most)s
ON CONFLICT DO NOTHING RETURNING mark
"""
# Let an app's last mark stand for a later version. The commit does not wait for the disk: after a crash the
# mark stands for the earlier version again, and the app is sent its own changes once more.
MOVE = Prepared(
    "move_mark",
    """
    WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE system.sync_marks SET version = %(version)s::bigint, at = %(now)s::timestamptz FROM unhurried
     WHERE user_id = %(user)s::uuid AND app = %(app)s::text AND version = %(known)s::bigint
       AND mark = (SELECT max(mark) FROM system.sync_marks
                    WHERE user_id = %(user)s::uuid AND app = %(app)s::text)
    RETURNING mark
    """,
)
DROP_ABOVE = "DELETE FROM system.sync_marks WHERE user_id = %s AND version > %s"


class Mark(NamedTuple):
    app: str
    mark: int
    version: int
    at: datetime


class Place(NamedTuple):
    """The version since which an app is to be told of changes, and the last mark that it was given.
    ``is_new``: the app sent no mark, and is starting."""

    version: int
    last: Mark | None
    is_new: bool = True


class App(NamedTuple):
    """An app of a listener. ``is_one``: it is a single app, not several that merely use the same name.

    ``topic``: for an app that may send its own clock instead of a mark, which of the two topics it asks for.
    Its marks are kept apart by topic: it is told everything since the version that it last received of that
    topic.
    """

    user_id: UUID
    name: str
    is_one: bool
    topic: str = ""

    @property
    def key(self) -> str:
        """Return the key under which its marks are kept."""
        return f"{self.name}/{self.topic}" if self.topic else self.name


def place(app: App, since: int) -> Place:
    """Find what a number sent by an app means: a mark or, for an app with a ``topic``, perhaps its own
    clock."""
    values = {"user": app.user_id, "app": app.key, "named": [since, since - 1], "before": since - AHEAD_S}
    named: list[Mark] = []
    last = fallback = None
    for kind, *columns in run(LOOK, values, "system"):
        mark = Mark._make(columns)
        if kind == 0:
            named.append(mark)
        elif kind == 1:
            last = mark
        else:
            fallback = mark
    named.sort(key=lambda mark: mark.app != app.key)
    meant = (named[0] if named else fallback) if since else None
    if meant is None:
        # an app whose clock is behind all marks is not new
        return Place(0, last, is_new=not (app.topic and since and last is not None))
    version = min(meant.version, last.version) if app.topic and last is not None else meant.version
    return Place(version, last, is_new=False)


def within(app: App, found: Place, head: int) -> Place:
    """Return the same place, or the beginning if the stream was restored from a backup older than the
    place."""
    known = max(found.version, 0 if found.last is None else found.last.version)
    if known <= head:
        return found
    run(DROP_ABOVE, [app.user_id, head], "system")
    return Place(0, None)


def after_reading(app: App, found: Place, version: int, has_news: bool, now: datetime) -> int:
    """Return the mark for an answer that contains everything up to a version."""
    last = found.last
    if last is not None and (
        not has_news or (last.version == version and timedelta() <= now - last.at <= FRESH)
    ):
        return last.mark
    return _draw(app, last, version, now)


def after_upload(app: App, before: int, version: int, topic: Types, now: datetime) -> int:
    """Return the mark for an upload that moved the stream from version ``before`` to ``version``.

    If others have changed the topic since the app's last mark, that mark is given again, so that the app's
    next read returns what arrived between its read and its upload. Otherwise the app has everything, and its
    own changes are not sent back.
    """
    if app.is_one and version > before and (moved := _move(app, before, version, now)) is not None:
        return moved  # most often, nothing has happened since the app's last mark
    last = place(app, 0).last
    if last is not None and (not app.is_one or version <= last.version):
        return last.mark
    between = app.user_id, 0 if last is None else last.version, before
    if not app.is_one or changes.has_others(*between, topic, app.name):
        # never 0: an app that sends 0 is not told of removals
        return _draw(app, None, 0, now) if last is None else last.mark
    if last is not None and not changes.has_others(*between, (*SUBSCRIPTIONS, *EPISODES), app.name):
        _move(app, last.version, version, now)
        return last.mark
    return _draw(app, last, version, now)


def _move(app: App, known: int, version: int, now: datetime) -> int | None:
    """Let the app's last mark stand for ``version`` if it stands for version ``known``; return the mark, or
    None if it does not."""
    values = {"user": str(app.user_id), "app": app.key, "known": str(known), "version": str(version)}
    texts = {name: text.encode() for name, text in (values | {"now": now.isoformat()}).items()}
    with discard_when_broken("system"):
        mark = MOVE.first_value(raw_connection("system"), texts)
    return None if mark is None else int(mark)


def _draw(app: App, last: Mark | None, version: int, now: datetime) -> int:
    """Draw a new mark; return the last one again if there is one and marks are too far ahead of the clock."""
    seconds = int(now.timestamp())
    values = {"user": app.user_id, "app": app.key, "version": version, "now": now}
    values |= {"least": seconds + seconds % 2, "most": LATEST if last is None else seconds + AHEAD_S}
    for _ in range(TRIES):
        row = run(DRAW, values, "system").fetchone()
        if row is not None:
            return int(row[0])
        if last is not None and _is_ahead(app.user_id, seconds):
            break
    return 0 if last is None else last.mark


def _is_ahead(user_id: UUID, seconds: int) -> bool:
    newest = run("SELECT max(mark) FROM system.sync_marks WHERE user_id = %s", [user_id], "system").fetchone()
    return newest is not None and (newest[0] or 0) + 2 > seconds + AHEAD_S
