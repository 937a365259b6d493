"""What play tokens open: redirects against a constant one of the same server, and a feed of 200 podcasts."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from benchmarks import environment, instance, redirect, sample, wrk
from benchmarks.report import Goal, Section, ratio
from benchmarks.requests import row
from benchmarks.scale import Scale
from benchmarks.wrk import CONNECTIONS
from eventstore import log
from eventstore.domain.identifiers import feed_key_of, feed_of_url, item_of
from eventstore.domain.subscriptions import UserSubscribed
from feeds.keys import episode_key, item_hash
from playgateway import links
from playgateway.links import Named

FEEDS, BEGIN = 200, datetime(2026, 1, 1, tzinfo=UTC)
CONSTANT, SEEKS, PLAYS = "a constant 302", "gateway, seeking", "gateway, a play for every address"
FEED, ONE = "feed of 200 podcasts", "one connection"


def run(scale: Scale) -> Section:
    columns = ["", "requests/s", "p50 ms", "p99 ms", "server CPU ms/request"]
    section = Section(f"What play tokens open, {CONNECTIONS} connections", columns)
    if wrk.PROGRAM is None:
        section.notes.append(wrk.MISSING)
        return section
    environment.empty()
    (who,) = instance.listeners(1)
    known = fill(scale.feed_episodes)
    follow(who.user_id)
    environment.settle()
    seconds, rounds = scale.request_seconds, range(scale.request_rounds)
    tokens = make_tokens(who.user_id, scale.players)
    plays = [address(*tokens[number // 4], known[number % len(known)]) for number in range(4 * len(tokens))]
    feeds = [f"/rss/{text}/subscriptions.xml" for _, text in tokens]
    environment.let_go()
    with instance.projector(), instance.web([sys.executable, "-m", "benchmarks.redirect"]) as server:
        wrk.get(server, plays[:4], 1, "bytes=1000-")
        # in turns: a slow minute of the machine hits all of them
        constants, seeks = [], []
        for _ in rounds:
            constants.append(wrk.get(server, [redirect.PATH], seconds))
            seeks.append(wrk.get(server, plays, seconds, "bytes=1000-"))
        single = wrk.get(server, plays, seconds, "bytes=1000-", connections=1)
        begun = wrk.get(server, plays, seconds, "bytes=0-", connections=1)
        read = wrk.get(server, feeds, seconds, connections=1)
    section.rows = [
        row(CONSTANT, constants),
        row(SEEKS, seeks),
        row(f"{SEEKS}, {ONE}", [single]),
        row(f"{PLAYS}, {ONE}", [begun]),
        row(f"{FEED}, {ONE}", [read]),
    ]
    share = ratio([one.per_second for one in seeks], [one.per_second for one in constants])
    cpu = ratio([one.cpu for one in constants], [one.cpu for one in seeks])
    section.goals = [
        Goal("gateway, requests/s against the constant 302", share, 0.5),
        Goal("the same by server CPU", cpu, 0.5),
        Goal("gateway, p99", single.p99, 20, at_most=True, unit=" ms"),
        Goal("gateway where each is a play, p99", begun.p99, 20, at_most=True, unit=" ms"),
        Goal(f"feed of {FEEDS} podcasts, p99", read.p99, 100, at_most=True, unit=" ms"),
    ]
    section.notes.append(
        f"{FEEDS} podcasts with {len(known):,} episodes; {len(tokens)} players. Web, projector, PostgreSQL,"
        " Redis and wrk share the machine. A player's first four addresses a minute are plays, each once in"
        " ten minutes."
    )
    return section


def fill(episodes: int) -> list[tuple[UUID, int, Named]]:
    """Podcasts of so many episodes each; returns uid of the feed, id and name of each episode."""
    from feeds.models import Episode, EpisodeItem, Feed, FeedAlias

    found = []
    for number in range(FEEDS):
        url = f"https://shows.example/{number}.xml"
        name = feed_of_url(url)
        feed = Feed.objects.create(url=url, title=f"Show {number}", state="active", version=1)
        FeedAlias.objects.create(feed_key=UUID(feed_key_of(name)), url=url, feed=feed)
        rows = Episode.objects.bulk_create(
            [Episode(feed=feed, **_described(number, place)) for place in range(episodes)], batch_size=1_000
        )
        EpisodeItem.objects.bulk_create(
            EpisodeItem(
                item_hash=item_hash(feed.pk, row.guid, row.enclosure_url),
                feed=feed,
                episode=row,
                enclosure_url=row.enclosure_url,
            )
            for row in rows
        )
        found += [(feed.uid, row.pk, Named(name, item_of(row.guid, row.enclosure_url))) for row in rows]
    return found


def _described(feed: int, place: int) -> dict[str, Any]:
    guid, url = f"episode-{place}", f"https://audio.example/{feed}/{place}.mp3"
    at = BEGIN + timedelta(hours=place, minutes=feed)
    return {
        "key": episode_key(guid, url),
        "guid": guid,
        "enclosure_url": url,
        "enclosure_type": "audio/mpeg",
        "title": f"Episode {place}",
        "description": "<p>What <b>happened</b> this week, and what did not.</p>" * 10,
        "published_at": at,
        "sort_at": at,
        "duration": 1_800,
        "content_hash": bytes(16),
    }


def follow(user_id: UUID) -> None:
    events = [
        UserSubscribed(
            user_id=user_id,
            rss_source_feed=feed_of_url(f"https://shows.example/{number}.xml"),
            subscribed_at=BEGIN,
        )
        for number in range(FEEDS)
    ]
    log.append(log.stream_of(user_id), 0, events, sample.ORIGIN)


def make_tokens(user_id: UUID, count: int) -> list[tuple[int, str]]:
    """Ids and texts of so many play tokens of one listener."""
    from accounts.models import PlayToken, User

    now, user = datetime.now(UTC), User(pk=user_id)
    made = [PlayToken.objects.issue(user, f"Player {number}", now) for number in range(count)]
    return [(token.pk, text) for token, text in made]


def address(token_id: int, text: str, episode: tuple[UUID, int, Named]) -> str:
    uid, episode_id, named = episode
    s = links.sign(token_id, uid, episode_id)
    return f"/play{links.path_of(text, named, 'https://audio.example/1.mp3', '', s)}"
