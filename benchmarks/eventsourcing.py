"""The peer: PyPI's eventsourcing 9.5 in its safe default, on the same PostgreSQL, in a schema of its own.

"Safe default" means without database functions: with them it is twice as fast, but a follower can skip
events. Its events have the same fields as ours, as plain text and numbers, so that its transcoder has the
least work.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from benchmarks import environment, sample

INSTALLED = find_spec("eventsourcing") is not None
MISSING = "The peer is not installed (`pip install -e .[bench]`): its figures are left out."
SCHEMA = "peer"

if TYPE_CHECKING or INSTALLED:
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event
    from eventsourcing.persistence import Tracking
    from eventsourcing.postgres import PostgresTrackingRecorder
    from eventsourcing.projection import Projection, ProjectionRunner
    from psycopg.sql import SQL, Identifier

    class Listener(Aggregate):
        """The state of one listener: the newest status of each item, as in our own."""

        @event("Registered")
        def __init__(self) -> None:
            self.plays: dict[str, tuple[str, int, bool, str]] = {}

        @event("PlayRecorded")
        def record_play(
            self,
            rss_source_feed: str,
            rss_source_item: str,
            position: int,
            played: bool,
            played_at: str,
            app_id: str,
            device_id: str,
            device_name: str,
        ) -> None:
            status = (played_at, position, played, rss_source_feed)
            known = self.plays.get(rss_source_item)
            if known is None or status > known:
                self.plays[rss_source_item] = status

    # its decorator creates the events' classes in a way that mypy cannot see
    listeners: Any = Listener

    class Plays(PostgresTrackingRecorder):
        """The peer's read table, with the same columns and the same upsert as users.play_statuses."""

        def __init__(self, datastore: Any, **kwargs: Any) -> None:
            super().__init__(datastore, **kwargs)
            table = SQL("{}.{}").format(Identifier(self.datastore.schema), Identifier("play_statuses"))
            self.sql_create_statements.append(
                SQL(
                    "CREATE TABLE IF NOT EXISTS {} (user_id uuid, rss_source_item text, rss_source_feed text,"
                    " position integer, played boolean, updated_at timestamptz,"
                    " PRIMARY KEY (user_id, rss_source_item))"
                ).format(table)
            )
            self.upsert = SQL(
                "INSERT INTO {} AS kept VALUES (%s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (user_id, rss_source_item) DO UPDATE SET rss_source_feed ="
                " EXCLUDED.rss_source_feed, position = EXCLUDED.position, played = EXCLUDED.played,"
                " updated_at = EXCLUDED.updated_at"
                " WHERE (EXCLUDED.updated_at, EXCLUDED.position) > (kept.updated_at, kept.position)"
            ).format(table)

        def play(self, values: tuple[Any, ...], tracking: Tracking) -> None:
            with self.datastore.transaction(commit=True) as cursor:
                self._insert_tracking(cursor, tracking)
                cursor.execute(self.upsert, values, prepare=True)

    class PlayStatuses(Projection[Plays]):
        name = "playstatuses"

        def process_event(self, domain_event: Any, tracking: Tracking) -> None:
            if not isinstance(domain_event, listeners.PlayRecorded):
                self.view.insert_tracking(tracking)
                return
            played = domain_event
            values = (played.originator_id, played.rss_source_item, played.rss_source_feed)
            self.view.play((*values, played.position, played.played, played.played_at), tracking)


def settings(create_tables: bool = False) -> dict[str, str]:
    """Return the peer's environment, from the URL of our own PostgreSQL."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.path.lstrip("/"),
        "POSTGRES_HOST": parse_qs(url.query)["host"][0],
        "POSTGRES_USER": url.username or "postgres",
        "POSTGRES_PASSWORD": "unused",
        "POSTGRES_SCHEMA": SCHEMA,
        "POSTGRES_POOL_SIZE": "2",
        # concurrent CREATE TABLE IF NOT EXISTS by clients that start together would conflict
        "CREATE_TABLE": "yes" if create_tables else "no",
    }


def prepare() -> None:
    """Create an empty schema with its tables."""
    with environment.connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
    with application(create_tables=True):
        pass


def application(create_tables: bool = False) -> Any:
    return Application[UUID](settings(create_tables))


def listener(app: Any) -> Any:
    """Return a new aggregate that has been recorded."""
    found = Listener()
    app.save(found)
    return found


def trigger(who: Any, number: int) -> None:
    """Run the command of one play; the event is then pending in the aggregate."""
    play = sample.play(who.id, number)
    who.record_play(
        play.rss_source_feed,
        play.rss_source_item,
        play.position,
        play.played,
        play.played_at.isoformat(),
        sample.ORIGIN.app_id,
        sample.ORIGIN.device_id,
        sample.ORIGIN.device_name,
    )


def plays(who: Any, count: int, first: int = 0) -> list[Any]:
    """Return the events of ``count`` plays of that listener, not yet recorded."""
    for number in range(first, first + count):
        trigger(who, number)
    return list(who.collect_events())


def runner() -> Any:
    """Return the peer's projection runner, started: a context manager with ``wait(notification_id,
    timeout)``."""
    return ProjectionRunner(
        application_class=Application[UUID],
        projection_class=PlayStatuses,
        view_class=Plays,
        env=settings(create_tables=True),
    )
