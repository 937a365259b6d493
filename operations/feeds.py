"""What an operator can ask about feeds: the state of all, the details of one, and to have it fetched now."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from eventstore.domain.identifiers import InvalidIdentifier, feed_of_url, normalise_feed
from feeds import figures
from feeds.models import Episode, Feed, FeedAlias, FeedSchedule
from feeds.queries import FeedShown, feeds_of
from feeds.states import ERRORS
from operations.errors import OperatorError

# Pumps look for feeds that are due every ten seconds.
LATE: Final = timedelta(minutes=2)
NEWEST: Final = 5
NO_ADDRESS: Final = "its address begins with http:// or https://; its name, as apps write it, is base64"


class NotAFeed(OperatorError):
    """The name given is not that of a feed, or not of one known here."""


def name_of(text: str) -> str:
    """Return the ``rss_source_feed`` of an address, or of a name as apps write it. Raises ``NotAFeed``."""
    is_address = "://" in text
    try:
        return feed_of_url(text) if is_address else normalise_feed(text)
    except InvalidIdentifier as error:
        raise NotAFeed(f"Not a feed: {error if is_address else NO_ADDRESS}.") from None


def known(name: str) -> FeedShown:
    """Return what is known of a feed under any of its addresses. Raises ``NotAFeed``."""
    found = feeds_of([name]).get(name)
    if found is None:
        raise NotAFeed(
            "No feed is known by this address: nobody follows it.\n"
            "manage.py feed_refresh URL makes it known and fetches it."
        )
    return found


def report(now: datetime) -> dict[str, Any]:
    """Report the state of all feeds; docs/operations.md explains the names."""
    found = figures.figures(now)
    return {
        **found._asdict(),
        "errors": figures.errors(),
        "hosts": [host._asdict() for host in figures.paused_hosts(now)],
        "advice": list(_advice(found)),
    }


def report_lines(report: dict[str, Any], now: datetime) -> Iterator[str]:
    """The same report in words."""
    yield (
        f"{report['feeds']:,} feeds: {report['unread']:,} never read so far,"
        f" {report['failing']:,} that failed the last time,"
        f" {report['unwanted']:,} that nobody follows and that are not refreshed"
    )
    due = f"Due now: {report['due']:,}"
    yield due + (f", the longest for {_span(report['overdue_s'])}" if report["due"] else "")
    if report["fetched_at"] is not None:
        yield f"The last fetch ended {_span((now - report['fetched_at']).total_seconds())} ago"
    if report["errors"]:
        yield "What was wrong the last time:"
    for code, number in report["errors"].items():
        yield f"  {number:>7,}  {code}: {ERRORS.get(code, 'It could not be fetched.')}"
    if report["hosts"]:
        yield f"Hosts that are left alone: {report['paused_hosts']:,}, with {report['paused_feeds']:,} feeds:"
    for host in report["hosts"]:
        why = "does not answer" if host["failures"] else "asked us to wait"
        feeds = _count(host["feeds"], "feed")
        yield f"  {host['name']} ({feeds}) {why}; until {moment(host['paused_until'])}"
    yield from report["advice"]


def details(shown: FeedShown, now: datetime) -> Iterator[str]:
    """All that is known of one feed, in words."""
    feed = Feed.objects.get(pk=shown.id)
    schedule = FeedSchedule.objects.filter(pk=shown.id).select_related("host").first()
    yield f"{feed.title or 'Without a title'}  ({feed.uid})"
    yield f"{feed.url}{' (secret: shown to its followers alone)' if feed.is_secret else ''}"
    yield from _sentences(shown, now)
    if schedule is not None:
        yield from _schedule_lines(schedule, now)
    episodes = _count(feed.episode_count, "episode")
    yield f"{episodes}; version {feed.version}, changed {moment(feed.changed_at)}"
    if feed.warnings:
        yield f"Warnings: {', '.join(map(str, feed.warnings))}"
    for alias in FeedAlias.objects.filter(feed=feed).exclude(url=feed.url).order_by("since"):
        yield f"Also known as {alias.url} ({alias.reason}, since {moment(alias.since)})"
    for episode in Episode.objects.filter(feed=feed, gone_at=None).order_by("-sort_at")[:NEWEST]:
        yield f"  {episode.sort_at:%Y-%m-%d}  {episode.title or episode.enclosure_url}"


def outcome_lines(shown: FeedShown, now: datetime) -> Iterator[str]:
    """How a fetch that was just made ended: what there is now, or what went wrong, and what comes next."""
    feed, schedule = Feed.objects.get(pk=shown.id), FeedSchedule.objects.get(pk=shown.id)
    if not schedule.error:
        yield f"Read: {feed.title or 'a feed without a title'}, {_count(feed.episode_count, 'episode')}."
    yield from _sentences(shown, now)
    yield from _schedule_lines(schedule, now)


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _sentences(shown: FeedShown, now: datetime) -> Iterator[str]:
    state, error = shown.state(now), shown.error
    yield state.text
    if error is not None and error.detail not in state.text:
        yield error.detail


def _schedule_lines(schedule: FeedSchedule, now: datetime) -> Iterator[str]:
    if schedule.fetched_at is not None:
        good = f"; the last good one {moment(schedule.ok_at)}" if schedule.error and schedule.ok_at else ""
        failures = f"; {_count(schedule.failures, 'failure')} in a row" if schedule.failures else ""
        status = f" (HTTP {schedule.status})" if schedule.error and schedule.status else ""
        yield f"Last fetch {moment(schedule.fetched_at)}{status}{good}{failures}"
    if schedule.next_at is None:
        yield "Not refreshed: nobody follows it, and nobody has asked for it in 30 days."
    elif schedule.next_at <= now:
        yield f"Due for {_span((now - schedule.next_at).total_seconds())}; {_followers(schedule)}"
    else:
        yield f"Next fetch {moment(schedule.next_at)}; {_followers(schedule)}"


def _followers(schedule: FeedSchedule) -> str:
    return _count(schedule.followers, "follower")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _advice(found: figures.Figures) -> Iterator[str]:
    if found.due and found.overdue_s > LATE.total_seconds():
        yield f"What is due has waited for {_span(found.overdue_s)}: is a worker for the queue feeds running,"
        yield "and the scheduler of one? Where both are, more pumps (FEED_PUMPS) make use of more processors."


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
