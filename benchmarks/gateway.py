"""What play tokens give access to: redirects, compared with a constant one of the same server, and a feed of
200 podcasts."""

import sys
from datetime import UTC, datetime
from uuid import UUID

from benchmarks import environment, instance, podcasts, redirect, wrk
from benchmarks.podcasts import Known
from benchmarks.report import Goal, Section, ratio
from benchmarks.scale import Scale
from benchmarks.wrk import CONNECTIONS
from playgateway import links
from playgateway.links import Named

FEEDS = 200
CONSTANT, SEEKS, PLAYS = "a constant 302", "gateway, seeking", "gateway, a play for every address"
FEED, ONE = "feed of 200 podcasts", "one connection"


def run(scale: Scale) -> Section:
    section = Section(f"What play tokens open, {CONNECTIONS} connections", ["", *wrk.COLUMNS])
    if wrk.PROGRAM is None:
        section.notes.append(wrk.MISSING)
        return section
    environment.empty()
    (who,) = instance.listeners(1)
    known = podcasts.fill(FEEDS, scale.feed_episodes)
    podcasts.follow([who.user_id], FEEDS)
    environment.settle()
    seconds, rounds = scale.request_seconds, range(scale.request_rounds)
    tokens = make_tokens(who.user_id, scale.players)
    plays = [address(*tokens[number // 4], known[number % len(known)]) for number in range(4 * len(tokens))]
    feeds = [f"/rss/{text}/subscriptions.xml" for _, text in tokens]
    environment.let_go()
    with instance.projector(), instance.web([sys.executable, "-m", "benchmarks.redirect"]) as server:
        wrk.get(server, plays[:4], 1, "bytes=1000-")
        # in turns, so that a slow minute of the machine affects all of them
        constants, seeks = [], []
        for _ in rounds:
            constants.append(wrk.get(server, [redirect.PATH], seconds))
            seeks.append(wrk.get(server, plays, seconds, "bytes=1000-"))
        single = wrk.get(server, plays, seconds, "bytes=1000-", connections=1)
        begun = wrk.get(server, plays, seconds, "bytes=0-", connections=1)
        read = wrk.get(server, feeds, seconds, connections=1)
    section.rows = [
        [CONSTANT, *wrk.figures(constants)],
        [SEEKS, *wrk.figures(seeks)],
        [f"{SEEKS}, {ONE}", *wrk.figures([single])],
        [f"{PLAYS}, {ONE}", *wrk.figures([begun])],
        [f"{FEED}, {ONE}", *wrk.figures([read])],
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
        " ten minutes. The event loop answers players that seek, a thread everything else, the constant 302"
        " among them."
    )
    return section


def make_tokens(user_id: UUID, count: int) -> list[tuple[int, str]]:
    """Return ids and texts of so many play tokens of one listener."""
    from accounts.models import PlayToken, User

    now, user = datetime.now(UTC), User(pk=user_id)
    made = [PlayToken.objects.issue(user, f"Player {number}", now) for number in range(count)]
    return [(token.pk, text) for token, text in made]


def address(token_id: int, text: str, episode: Known) -> str:
    signed = links.sign(token_id, episode.feed_uid, episode.episode_id)
    named = Named(episode.feed, episode.item)
    return f"/play{links.path_of(text, named, 'https://audio.example/1.mp3', '', signed)}"
