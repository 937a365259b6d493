"""A player that seeks is answered by the event loop, as Django would, which answers the rest."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as configuration
from pytest_django.fixtures import Settings

from accounts.models import User
from eventstore import counters
from feeds.models import Episode, Feed
from playgateway import seeking, sessions, window
from playgateway.episodes import PlayableEpisode
from playgateway.links import sign
from projections.connect import connect
from projections.pipeline import Pipeline
from tests.direct import Answer, Server
from tests.feeds.rows import EpisodeFactory, FeedFactory
from tests.playgateway.players import Player, now

SEEKS: dict[str, Any] = {"range": "bytes=5000-"}


class Seeking(Server):
    """A server, as a player sees it that seeks."""

    async def asks_django(
        self, address: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Answer:
        """Send a request that the event loop must leave to Django."""
        return await self.by(True, method, address, body, **headers)

    async def answers_itself(self, address: str, **headers: Any) -> Answer:
        return await self.by(False, "GET", address, **{**SEEKS, **headers})

    @property
    def pipeline(self) -> Pipeline:
        return self.shortcuts.system


@asynccontextmanager
async def running(address: str) -> AsyncIterator[Seeking]:
    """A server whose event loop knows this address and is connected."""
    server = Seeking()
    status, _, _ = await server.asks_django(address, **SEEKS)
    assert status == 302
    await server.asks_django(address, **SEEKS)
    await server.connect()
    try:
        yield server
    finally:
        server.close()


def run(address: str, test: Callable[[Seeking], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running(address) as server:
            await test(server)

    asyncio.run(whole())


@pytest.fixture
def episode() -> Episode:
    made: Episode = EpisodeFactory.create()
    return made


def signed(player: Player, episode: Episode) -> str:
    return player.address(episode, sign(player.row.pk, episode.feed.uid, episode.pk))


def alone(answer: Answer) -> dict[str, str]:
    """The headers without the id, which differs for each request."""
    return {name: value for name, value in answer[1].items() if name != "x-request-id"}


def test_both_ways_answer_alike(
    radio: Player, episode: Episode, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    caplog.set_level(logging.INFO, logger="balados.requests")
    settings.SECURE_HSTS_SECONDS = 60
    address = signed(radio, episode)

    async def test(server: Seeking) -> None:
        theirs = await server.asks_django(address)
        caplog.clear()
        counters._counts.clear()
        ours = await server.answers_itself(address, x_request_id="0123456789abcdef")
        assert (ours[0], ours[2]) == (theirs[0], theirs[2]) == (302, b"")
        assert alone(ours) == alone(theirs)
        assert ours[1]["location"] == episode.enclosure_url
        assert ours[1]["x-request-id"] == "0123456789abcdef"
        (line,) = caplog.records
        fields: dict[str, object] = line.__dict__["fields"]
        assert fields.pop("ms")
        assert fields == {
            **{"request": "0123456789abcdef", "method": "GET"},
            **{"route": "/play/<str:token>/<path:path>", "status": 302},
        }
        assert counters._counts["requests", "GET", "/play/<str:token>/<path:path>", "302"] == 1
        await asyncio.gather(*(server.answers_itself(address) for _ in range(20)))

    run(address, test)


def test_what_is_no_seeking_is_left_to_django(radio: Player, episode: Episode) -> None:
    address = signed(radio, episode)
    path = address.partition("?")[0]

    async def test(server: Seeking) -> None:
        requests: list[tuple[dict[str, Any], int]] = [
            ({"range": "bytes=0-"}, 302),
            ({}, 302),
            ({**SEEKS, "user_agent": "WhatsApp/2.23"}, 302),
            ({**SEEKS, "purpose": "prefetch"}, 302),
            ({**SEEKS, "host": "evil.example"}, 400),
            ({**SEEKS, "method": "HEAD"}, 302),
            ({**SEEKS, "method": "POST"}, 405),
            ({**SEEKS, "content_length": "2", "body": b"ab"}, 302),
            ({**SEEKS, "transfer_encoding": "chunked", "body": b"ab"}, 302),
        ]
        for named, status in requests:
            assert (await server.asks_django(address, **named))[0] == status, named
        for other, status in [
            (path, 302),
            (f"{path}?s={'1' * 22}", 302),
            (f"{address}&t=1", 302),
            (address.replace(".mp3", ".mp4"), 302),
            (address.replace(radio.token, "a" * 43), 404),
            (address.replace(radio.token, "a"), 404),
            (address.removeprefix("/play"), 404),
        ]:
            assert (await server.asks_django(other, **SEEKS))[0] == status, other
        await server.answers_itself(address)

    run(address, test)


def test_a_token_that_is_revoked_expired_or_whose_owner_is_gone_fails_in_the_next_request(
    alice: User, episode: Episode
) -> None:
    def revoke(player: Player) -> None:
        player.row.delete()

    def expire(player: Player) -> None:
        player.row.expires_at = now() - timedelta(seconds=1)
        player.row.save()

    def deactivate(player: Player) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=False)

    def erase(player: Player) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=True, erasing_since=now())

    players = [Player(alice) for _ in range(4)]
    addresses = [signed(player, episode) for player in players]

    async def test(server: Seeking) -> None:
        for address in addresses[1:]:
            await server.asks_django(address, **SEEKS)  # records that the token is in use
        for player, address, end in zip(players, addresses, (revoke, expire, deactivate, erase), strict=True):
            if end is not erase:
                await server.answers_itself(address)
            await asyncio.to_thread(end, player)
            status, _, content = await server.asks_django(address, **SEEKS)
            assert (status, content) == (404, b"Not found.\n"), end

    run(addresses[0], test)


def test_it_leads_where_the_file_is_now_and_nowhere_else(radio: Player, episode: Episode) -> None:
    address, other = signed(radio, episode), FeedFactory.create()

    async def move(url: str) -> None:
        await asyncio.to_thread(Episode.objects.filter(pk=episode.pk).update, enclosure_url=url)

    async def test(server: Seeking) -> None:
        await move("https://new.example/1.mp3")
        assert (await server.answers_itself(address))[1]["location"] == "https://new.example/1.mp3"
        for url in ("http://127.0.0.1/1.mp3", "https://audio.example/1.mp3\r\nSet-Cookie: a=b", ""):
            await move(url)
            assert (await server.asks_django(address, **SEEKS))[0] == 404, url
        await move("https://new.example/2.mp3")
        assert (await server.answers_itself(address))[1]["location"] == "https://new.example/2.mp3"
        # as a merge of feeds does: what was remembered no longer holds
        await asyncio.to_thread(Episode.objects.filter(pk=episode.pk).update, feed=other)
        await server.asks_django(address, **SEEKS)

    run(address, test)


def test_a_signature_opens_one_episode_for_one_token(radio: Player, bob: User) -> None:
    closed = FeedFactory.create(is_secret=True)
    episode, another = EpisodeFactory.create_batch(2, feed=closed)
    stranger = Player(bob)
    address, theirs = signed(radio, episode), signed(stranger, episode)
    wrong = [
        stranger.address(episode, address.partition("?s=")[2]),
        radio.address(episode, theirs.partition("?s=")[2]),
        radio.address(episode, sign(radio.row.pk, closed.uid, another.pk)),
    ]

    async def test(server: Seeking) -> None:
        await server.asks_django(theirs, **SEEKS)
        await server.answers_itself(theirs)
        for each in wrong:
            assert (await server.asks_django(each, **SEEKS))[0] == 404, each

    run(address, test)


def test_seeking_extends_the_session_and_records_nothing(
    radio: Player, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "EVERY", 600)
    address = signed(radio, episode)

    async def test(server: Seeking) -> None:
        await server.asks_django(address)
        sessions.send()
        with redis.Redis.from_url(configuration.REDIS_URL) as client:
            (key,) = [key for key in client.scan_iter(f"{window.PREFIX}*") if client.type(key) == b"string"]
            client.pexpire(key, 100_000)
            await server.answers_itself(address)
            sessions.send()
            assert client.pttl(key) > 590_000

    run(address, test)


def test_the_host_for_plays_is_answered_too(radio: Player, episode: Episode, settings: Settings) -> None:
    settings.PLAY_DOMAIN = "play.balados.example"
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, settings.PLAY_DOMAIN]
    address, host = signed(radio, episode), "play.balados.example:8443"

    async def test(server: Seeking) -> None:
        await server.asks_django(address.removeprefix("/play"), host=host, **SEEKS)
        theirs = await server.answers_itself(address)
        for each in (address, address.removeprefix("/play")):
            ours = await server.answers_itself(each, host=host)
            assert alone(ours) == alone(theirs)
        assert (await server.asks_django(address.removeprefix("/play"), **SEEKS))[0] == 404

    run(address, test)


def test_while_the_connection_is_broken_django_answers(radio: Player, episode: Episode) -> None:
    address = signed(radio, episode)

    async def test(server: Seeking) -> None:
        broken = server.pipeline._connection
        assert broken is not None
        pid = broken.info.backend_pid
        await asyncio.to_thread(_execute, "SELECT pg_terminate_backend(%s, 5000)", pid)
        assert (await server.asks_django(address, **SEEKS))[0] == 302
        assert server.pipeline._connection is None
        assert (await server.asks_django(address, **SEEKS))[0] == 302
        assert server.pipeline._opening is None  # only after a pause
        await server.connect()
        await server.answers_itself(address)

    run(address, test)


def test_what_is_remembered_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(pk=1)
    found = PlayableEpisode(1, 1, feed.uid, "https://audio.example/1.mp3", is_signed=True)
    monkeypatch.setattr(seeking, "MOST_KNOWN", 3)
    for number in range(5):
        seeking.remember(f"a/{number}", found)
    seeking.remember("a" * (seeking.LONGEST + 1), found)
    assert list(seeking._known) == ["a/3", "a/4"]


def _execute(statement: str, *values: object) -> None:
    with connect("system") as connection:
        connection.execute(statement, values)
