"""The disk space of podcasts and plays, tables and indexes together, and the resulting space of one
listener."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from benchmarks import environment, instance, podcasts, sample
from benchmarks.report import Section, number
from benchmarks.scale import Scale
from eventstore.dispatcher import dispatch
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.plays import RecordPlay
from eventstore.log import head
from projections import queries
from projections.projectors import PROJECTORS

SIZES = """SELECT CASE WHEN nspname = 'events' AND relname LIKE 'events%' THEN 'event' ELSE 'rest' END,
       sum(pg_table_size(pg_class.oid) + pg_indexes_size(pg_class.oid))::bigint
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE relkind = 'r' AND nspname IN ('events', 'users', 'public', 'system') GROUP BY 1"""
SHOWS, EPISODES, LISTENERS = 200, 25, 20
FOLLOWED, A_DAY, SITTINGS, KEPT_DAYS = 50, 3, 2, 45


def run(scale: Scale) -> Section:
    environment.empty()
    who = instance.listeners(LISTENERS)
    with instance.projector():
        show = _grown(lambda: podcasts.fill(SHOWS, 0))["rest"] / SHOWS
        episode = _grown(lambda: podcasts.fill(SHOWS, EPISODES))["rest"] / SHOWS / EPISODES
        followed = _grown(lambda: podcasts.follow([one.user_id for one in who], FOLLOWED))
        plays = _grown(lambda: _hear(who[0].user_id, scale.plays))
    event, status = plays["event"] / scale.plays, plays["rest"] / scale.plays
    follow = sum(followed.values()) / LISTENERS / FOLLOWED
    year = FOLLOWED * follow + 365 * A_DAY * status + KEPT_DAYS * A_DAY * SITTINGS * event
    rows = [
        ("a podcast", show),
        ("an episode of it, with its notes", episode),
        ("a podcast that somebody follows", follow),
        ("an event, kept for 45 days", event),
        ("an episode that somebody heard: what stays", status),
        (f"**a listener in the first year**: {FOLLOWED} podcasts, {A_DAY} episodes a day", year),
    ]
    section = Section("Disk", ["", "KiB"], [[text, number(size / 1024)] for text, size in rows])
    section.notes.append(
        f"Each episode is heard in {SITTINGS} sittings. PostgreSQL's log and backups come on top."
    )
    return section


def _hear(user_id: UUID, count: int) -> None:
    """Record plays of so many episodes, each heard once."""
    began = datetime.now(UTC) - timedelta(days=30)
    for place in range(count):
        show, at = place % SHOWS, began + timedelta(minutes=place)
        feed = feed_of_url(podcasts.url_of(show))
        item = item_of(f"episode-{place}", podcasts.audio_of(show, place))
        command = RecordPlay(
            user_id=user_id,
            feed=feed,
            item=item,
            position=600,
            played=False,
            started=0,
            total=1_800,
            at=at,
            now=at,
        )
        dispatch(command, sample.ORIGIN)


def _grown(work: Callable[[], object]) -> Counter[str]:
    """Return by how many bytes the events, and everything else, have grown through ``work``, once all of it
    is projected."""
    before = _sizes()
    work()
    for name in PROJECTORS:
        queries.wait_for(name, head(), 60)
    grown = _sizes()
    grown.subtract(before)
    return grown


def _sizes() -> Counter[str]:
    environment.settle()
    with environment.connect() as connection:
        return Counter({str(kind): int(str(size)) for kind, size in connection.execute(SIZES)})
