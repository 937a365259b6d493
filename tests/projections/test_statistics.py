"""The sums of listening, against the same sums calculated slowly."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from accounts.models import User
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.listening import EpisodeHeard, Heard, Span, counted_once
from projections.statistics import bounds, statistics
from tests.web.library import listen

QUARTER = timedelta(minutes=15)
# over both changes of the clocks in Europe
FIRST, LAST = date(2025, 3, 29), date(2025, 10, 27)


def drawn(random: Random) -> list[Span]:
    """Draw spans that overlap, touch, last for days, and meet the edges of days and of summer time."""
    start, end = bounds(FIRST, LAST, UTC)
    turns = [datetime(2025, 3, 30, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC), start, end]
    found = []
    for _ in range(60):
        anywhere = start + random.random() * (end - start)
        begins = random.choice([anywhere, random.choice(turns) - random.randint(0, 3) * QUARTER])
        lasts = random.choice([QUARTER, timedelta(hours=1), timedelta(seconds=random.randint(1, 90_000))])
        seconds = random.randint(1, 2 * int(lasts.total_seconds()))
        feed, device = feed_of_url(f"https://{random.randint(1, 4)}.example/"), f"d{random.randint(1, 3)}"
        found.append(Span(begins, begins + lasts, seconds, feed, item_of(str(uuid4()), ""), device))
    return found


def episode_heard(span: Span) -> EpisodeHeard:
    ends_at = span.ends_at
    heard = Heard(span.device, ends_at, int(span.seconds), int(span.seconds), span.starts_at, ends_at)
    return EpisodeHeard(span.feed, span.episode, (heard,))


def slowly(spans: list[Span], zone: ZoneInfo) -> tuple[Counter[tuple[int, int]], Counter[str]]:
    """Return seconds by weekday and hour, and by podcast, quarter by quarter of an hour in UTC: here, every
    local hour begins with one."""
    hours: Counter[tuple[int, int]] = Counter()
    feeds: Counter[str] = Counter()
    start, end = bounds(FIRST, LAST, zone)
    for span in counted_once(spans):
        first, last = max(span.starts_at, start), min(span.ends_at, end)
        count = max(0, (last - first) // QUARTER)
        quarter = first.replace(minute=first.minute // 15 * 15, second=0, microsecond=0)
        edges = [first, *(quarter + n * QUARTER for n in range(1, count + 2)), last]
        for begins, ends in pairwise(edge for edge in edges if first <= edge <= last):
            local = begins.astimezone(zone)
            seconds = span.rate * (ends - begins).total_seconds()
            hours[local.weekday(), local.hour] += seconds  # type: ignore[assignment]
            feeds[span.feed] += seconds  # type: ignore[assignment]
    return hours, feeds


def test_sums_made_in_the_database_are_those_of_every_span_counted_once(alice: User) -> None:
    spans = drawn(Random(2611))
    listen(alice, *map(episode_heard, spans))
    for name in ("Europe/Paris", "Asia/Kolkata", "America/St_Johns", "UTC"):
        zone = ZoneInfo(name)
        start, end = bounds(FIRST, LAST, zone)
        (found,) = statistics(alice.pk, FIRST, LAST, zone).rows
        hours, feeds = slowly(spans, zone)
        at_hours = {key: seconds for key, seconds in found.at_hours().items() if seconds}
        assert at_hours == pytest.approx(
            {key: seconds for key, seconds in hours.items() if round(seconds)}, abs=0.51
        ), name
        assert found.seconds_by("podcast") == pytest.approx(dict(feeds), abs=1e-3), name
        assert found.seconds == pytest.approx(sum(feeds.values()), abs=0.51), name
        # each day is rounded
        assert sum(found.days.values()) == pytest.approx(found.seconds, abs=len(found.days) / 2), name
        ended = [span.ends_at.astimezone(zone).date() for span in spans if start <= span.ends_at < end]
        assert found.finished_by("day") == Counter(map(str, ended)), name
