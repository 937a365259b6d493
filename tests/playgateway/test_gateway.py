"""The path from a personal feed to the audio file: where it leads, and which requests count as a play."""

import base64
import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as configuration
from django.db import OperationalError, connections
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import attempts
from accounts.attempts import Script
from accounts.models import PlayToken, User
from eventstore import marks
from eventstore.dispatcher import dispatch
from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.plays import RecordPlay
from feeds.models import Episode
from playgateway import links, promptly, recording, sessions, tasks, window
from playgateway.episodes import location_of
from playgateway.links import Named, sign
from playgateway.recording import Play
from playgateway.tasks import record_play
from playgateway.tokens import Bearer
from tests.api.devices import count_events, url_safe
from tests.feeds.rows import EpisodeFactory, FeedFactory, item_name, name_of
from tests.playgateway.players import Player, follow, item, now, order, plays_of
from tests.projecting import bring_up_to_date

BEGINS: list[dict[str, str]] = [
    {},
    {"range": "bytes=0-"},
    {"range": "bytes=0-1"},
    {"range": "bytes=0-65535"},
    {"range": "Bytes = 0 - 1"},
    {"accept": "*/*", "user_agent": "AppleCoreMedia/1.0.0.20G75 (iPhone; U; CPU OS 16_6 like Mac OS X)"},
    {"accept": "audio/*,text/html;q=0.1"},
]
GOES_ON: list[dict[str, str]] = [
    {"range": "bytes=1000-"},
    {"range": "bytes=-500"},
    {"range": "bytes=0-1,500-600"},
    {"range": "bytes=0-", "if_range": '"etag"'},
    {"range": "lines=0-"},
]
LOOKS: list[dict[str, str]] = [
    {"sec_purpose": "prefetch;prerender"},
    {"purpose": "prefetch"},
    {"x_moz": "prefetch"},
    {"user_agent": "facebookexternalhit/1.1"},
    {"user_agent": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"},
    {"user_agent": "WhatsApp/2.23"},
]


@pytest.fixture
def episode() -> Episode:
    made: Episode = EpisodeFactory.create()
    return made


def test_each_row_of_the_table_of_requests(radio: Player, alice: User) -> None:
    feed = FeedFactory.create()
    rows = [(headers, 1) for headers in BEGINS] + [(headers, 0) for headers in GOES_ON + LOOKS]
    for headers, plays in rows:
        before = count_events("PlayRecorded")
        episode = EpisodeFactory.create(feed=feed)
        # each with its own token: many episodes of one token within a minute count as downloads
        answer = Player(alice).play(episode, **headers)
        assert (answer.status_code, answer.headers["Location"]) == (302, episode.enclosure_url), headers
        assert count_events("PlayRecorded") - before == plays, headers
    for headers in BEGINS:
        answer = radio.client.head(radio.address(episode), headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (302, episode.enclosure_url)
    assert plays_of(alice.pk)
    assert count_events("PlayRecorded") == len(BEGINS)


def test_nothing_but_get_and_head_is_allowed(radio: Player, episode: Episode) -> None:
    for method in ("post", "put", "patch", "delete", "options"):
        answer = getattr(radio.client, method)(radio.address(episode))
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD"), method
    assert count_events() == 0


def test_the_redirect_says_nothing_and_is_kept_nowhere(radio: Player, episode: Episode) -> None:
    answer = radio.play(episode)
    assert answer.content == b""
    headers = dict(answer.headers)
    assert headers.pop("X-Request-ID")
    assert headers == {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
        "Access-Control-Allow-Origin": "*",
        "Location": episode.enclosure_url,
        "Content-Length": "0",
    }
    assert not answer.cookies


def test_a_player_that_seeks_and_asks_again_is_one_play(radio: Player, alice: User, episode: Episode) -> None:
    radio.client.head(radio.address(episode))
    for _ in range(3):
        radio.play(episode, range="bytes=0-1")
    for start in range(30):
        radio.play(episode, range=f"bytes={start * 65_536}-")
    assert len(plays_of(alice.pk)) == 1
    assert count_events("PlayRecorded") == 1


def test_the_window_slides_with_what_is_asked_and_ends(
    radio: Player, alice: User, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000_000.0]
    monkeypatch.setattr("playgateway.window.time.time", lambda: clock[0])

    def ttl() -> int:
        with redis.Redis.from_url(configuration.REDIS_URL) as client:
            (key,) = [key for key in client.scan_iter(f"{window.PREFIX}*") if client.type(key) == b"string"]
            left = client.pttl(key)
            client.pexpire(key, 1_000)
            return int(left)

    radio.play(episode)
    assert ttl() > 590_000
    radio.play(episode, range="bytes=5000-")
    sessions.send()
    assert ttl() > 590_000
    radio.play(episode)
    assert ttl() > 590_000
    assert count_events("PlayRecorded") == 1
    clock[0] += 6 * 3_600 + 1
    radio.play(episode, range="bytes=5000-")
    sessions.send()
    assert ttl() <= 1_000
    assert count_events("PlayRecorded") == 1
    radio.play(episode)
    assert count_events("PlayRecorded") == 2


def test_requests_that_go_on_are_sent_together(
    radio: Player, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[str]] = []
    real = attempts.run

    def run(script: Script, keys: Sequence[str], *values: Any, **named: Any) -> Any:
        sent.append(list(keys))
        return real(script, keys, *values, **named)

    monkeypatch.setattr(attempts, "run", run)
    monkeypatch.setattr(sessions, "AT_ONCE", 2)
    monkeypatch.setattr(sessions, "EVERY", 600)
    episodes = EpisodeFactory.create_batch(3)
    for episode in episodes * 2:
        assert radio.play(episode, range="bytes=5000-").status_code == 302
    timer = sessions._timer
    assert sent == []
    assert timer is not None
    assert not timer.daemon  # an interpreter that ends waits for such a thread
    sessions.send()
    assert sorted(map(len, sent)) == [1, 2]
    assert len({key for keys in sent for key in keys}) == 3
    monkeypatch.setattr(sessions, "EVERY", 0.01)
    radio.play(episodes[0], range="bytes=5000-")
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)
    assert len(sent) == 3


def test_an_app_that_fills_its_disk_has_not_played_it(radio: Player, alice: User) -> None:
    feed = FeedFactory.create()
    episodes = EpisodeFactory.create_batch(7, feed=feed)
    for episode in episodes:
        assert radio.play(episode).status_code == 302
    assert count_events("PlayRecorded") == 4
    # another player of the same listener
    Player(alice).play(episodes[6])
    assert count_events("PlayRecorded") == 5


def test_position_and_played_stay_and_the_token_is_the_device(
    radio: Player, alice: User, episode: Episode
) -> None:
    order(
        RecordPlay(
            user_id=alice.pk,
            now=now(),
            feed=name_of(episode.feed),
            item=item_name(episode),
            position=1_200,
            played=True,
            speed=1.5,
        )
    )
    radio.play(episode)
    (status,) = plays_of(alice.pk)
    assert (status.position, status.played, status.speed) == (1_200, True, 1.5)
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "SELECT metadata::text FROM events.events WHERE type = 'PlayRecorded' ORDER BY position"
        )
        (_, (metadata,)) = cursor.fetchall()
    assert '"device_name": "Kitchen radio"' in metadata
    assert '"app_id": "play-gateway"' in metadata
    token = PlayToken.objects.get(pk=radio.row.pk)
    assert token.plays == 1
    assert token.last_used_at is not None


def test_names_in_every_alphabet_lead_to_it(radio: Player) -> None:
    episode = EpisodeFactory.create(
        feed=FeedFactory.create(url="https://shows.example/a~b?x=%C3%BF%C3%BE"),
        guid="??>>~~ÿþ",
        enclosure_url="https://audio.example/~~~/%3F.mp3",
    )
    feed, name = name_of(episode.feed), item_name(episode)
    assert "/" in feed + name
    assert "+" in name
    for one in (feed, feed.rstrip("="), url_safe(feed)):
        for other in (name, name.rstrip("="), url_safe(name)):
            for end in ("", ".mp3", ".m4a"):
                answer = radio.client.get(f"/play/{radio.token}/{one}/{other}{end}")
                assert answer.status_code == 302, (one, other, end)
    for path in (
        f"{feed}/{name}.mp3.exe",
        f"{feed}/{name}.ex-e",
        f"{feed}/{name}!",
        f"{feed}*/{name}",
        feed,
        f"{feed}/",
        f"/{name}",
        "%00/%00",
        "a/b/c/d/e" * 200,
    ):
        assert radio.client.get(f"/play/{radio.token}/{path}").status_code == 404, path


def test_an_old_name_leads_to_where_the_file_is_now(radio: Player) -> None:
    old = ("same-guid", "https://old.example/1.mp3")
    episode = EpisodeFactory.create(guid="same-guid", items=[old])
    for name in (item(*old), item("same-guid", "https://nobody-knows.example/1.mp3"), item("same-guid", "")):
        assert radio.play(episode, item=name).headers["Location"] == episode.enclosure_url
    assert radio.play(episode, item=item("other", "https://old.example/1.mp3")).status_code == 404


def test_every_name_of_a_feed_leads_to_it_also_after_it_was_merged(radio: Player) -> None:
    feed = FeedFactory.create(aliases=["http://shows.example/old"])
    merged = FeedFactory.create(merged_into=feed, state="merged")
    episode = EpisodeFactory.create(feed=feed)
    for url in (feed.url, "http://shows.example/old", merged.url):
        named = Named(feed_of_url(url), item_name(episode))
        answer = radio.client.get(f"/play{links.path_of(radio.token, named, '', '', '')}")
        assert answer.status_code == 302, url


def test_what_is_closed_is_played_by_those_who_know_it_and_by_our_own_links(
    radio: Player, alice: User, bob: User
) -> None:
    closed = FeedFactory.create(url="https://www.patreon.com/rss/show?auth=Zk93mQ7xLw2pT4vB", is_secret=True)
    episode = EpisodeFactory.create(feed=closed)
    stranger = Player(bob)
    assert [radio.play(episode).status_code, stranger.play(episode).status_code] == [404, 404]
    follow(alice, closed)
    assert [radio.play(episode).status_code, stranger.play(episode).status_code] == [302, 404]
    s = sign(stranger.row.pk, closed.uid, episode.pk)
    assert stranger.play(episode, s).status_code == 302


def test_what_the_operator_blocks_is_played_by_those_who_know_it_alone(
    radio: Player, bob: User, episode: Episode
) -> None:
    known_to_bob = Player(bob)
    follow(bob, episode.feed)
    assert [radio.play(episode).status_code, known_to_bob.play(episode).status_code] == [302, 302]
    marks.mark(name_of(episode.feed), "operator", now(), blocked=True)
    bring_up_to_date()
    assert [radio.play(episode).status_code, known_to_bob.play(episode).status_code] == [404, 302]
    marks.mark(name_of(episode.feed), "operator", now(), blocked=False)
    bring_up_to_date()
    assert radio.play(episode).status_code == 302


def test_a_signature_is_for_one_token_feed_and_episode(radio: Player, alice: User, bob: User) -> None:
    closed, other = FeedFactory.create(is_secret=True), FeedFactory.create(is_secret=True)
    episode, another = EpisodeFactory.create(feed=closed), EpisodeFactory.create(feed=closed)
    good = sign(radio.row.pk, closed.uid, episode.pk)
    assert len(good) == 22
    assert radio.play(episode, good).status_code == 302
    wrong = [
        sign(Player(alice).row.pk, closed.uid, episode.pk),
        sign(Player(bob).row.pk, closed.uid, episode.pk),
        sign(radio.row.pk, other.uid, episode.pk),
        sign(radio.row.pk, closed.uid, another.pk),
        good[:-1],
        f"{good}A",
        f"2{good[1:]}",
        f"1{good[:-1]}",
        good.swapcase(),
        "1" * 21 + "é",
        "x" * 5_000,
    ]
    for s in wrong:
        assert radio.play(episode, s).status_code == 404, s


def test_another_key_ends_the_old_signatures(radio: Player, settings: Settings) -> None:
    episode = EpisodeFactory.create(feed=FeedFactory.create(is_secret=True))
    s = sign(radio.row.pk, episode.feed.uid, episode.pk)
    settings.SECRET_KEY = "another key of fifty characters and more, for the test"
    assert radio.play(episode, s).status_code == 404


def test_a_token_limited_to_lists_plays_what_they_link_to(alice: User, episode: Episode) -> None:
    player = Player(alice, lists=["saved"])
    assert player.play(episode).status_code == 404
    assert player.play(episode, sign(player.row.pk, episode.feed.uid, episode.pk)).status_code == 302


@pytest.mark.parametrize(
    "enclosure",
    [
        "",
        "ftp://audio.example/1.mp3",
        "javascript:alert(1)",
        "//evil.example/1.mp3",
        "https://user:password@audio.example/1.mp3",
        "http://127.0.0.1/1.mp3",
        "http://[::1]/1.mp3",
        "http://169.254.169.254/latest",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://localhost/1.mp3",
        "http://audio.localhost./1.mp3",
        "https://audio.example/1.mp3\r\nSet-Cookie: a=b",
        "https://audio.example/1 2.mp3",
        "http://[oops/1.mp3",
        "/1.mp3",
    ],
)
def test_it_leads_nowhere_else_and_not_into_anybodys_network(radio: Player, enclosure: str) -> None:
    episode = EpisodeFactory.create(enclosure_url=enclosure)
    assert location_of(enclosure) is None
    assert radio.play(episode, item=item(episode.guid, "")).status_code == 404


def test_it_does_not_lead_back_to_us(settings: Settings) -> None:
    settings.PUBLIC_URL, settings.PLAY_DOMAIN = "https://balados.example", "play.balados.example"
    for host in ("balados.example", "BALADOS.example:8443", "play.balados.example"):
        assert location_of(f"https://{host}/play/x/y/z") is None
    assert (
        location_of("HTTPS://Audio.Example/a%20b.mp3?x=1&y=ü#t")
        == "HTTPS://Audio.Example/a%20b.mp3?x=1&y=%C3%BC#t"
    )
    assert location_of("http://audio.example:8080/1.mp3") == "http://audio.example:8080/1.mp3"


def test_whoever_has_no_good_token_learns_nothing(alice: User, episode: Episode) -> None:
    revoked, expired, off = Player(alice), Player(alice), Player(alice)
    good = Player(alice)
    assert good.play(episode).status_code == 302
    revoked.row.delete()
    expired.row.expires_at = now() - timedelta(minutes=1)
    expired.row.save()
    answers = [player.play(episode) for player in (revoked, expired)]
    answers += [
        Client().get(f"/play/{token}/{url_safe(name_of(episode.feed))}/{url_safe(item_name(episode))}")
        for token in ("x", "a" * 43, "é" * 43, "%00" * 43, "a" * 5_000)
    ]
    answers += [
        good.play(episode, feed=feed_of_url("https://unknown.example/")),
        good.play(episode, item=item("?", "")),
    ]
    alice.is_active = False
    alice.save()
    answers.append(off.play(episode))
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, b"Not found.\n")}
    assert (
        len({tuple(sorted((n, v) for n, v in a.headers.items() if n != "X-Request-ID")) for a in answers})
        == 1
    )


def test_guessing_tokens_is_limited_by_address(settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE = 3
    client = Client()
    statuses = [client.get(f"/play/{'a' * 42}{number}/x/y").status_code for number in range(5)]
    assert statuses == [404, 404, 404, 429, 429]
    answer = client.get(f"/rss/{'b' * 43}/subscriptions")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert client.get("/play/x/x/y", REMOTE_ADDR="203.0.113.9").status_code == 404


def test_a_browser_is_told_where_it_leads_and_our_own_links_lead_there(
    radio: Player, episode: Episode
) -> None:
    browser = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    episode.enclosure_url = "https://audio.example/<b>.mp3"
    page = radio.play(episode, **browser)
    assert page.status_code == 200
    assert "audio.example" in page.content.decode()
    assert "Location" not in page.headers
    assert "http-equiv" not in page.content.decode().lower()
    assert "script" not in page.content.decode().lower()
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert count_events() == 0
    assert "À" not in page.content.decode()
    s = sign(radio.row.pk, episode.feed.uid, episode.pk)
    assert radio.play(episode, s, **browser).status_code == 302
    assert count_events("PlayRecorded") == 1


def test_the_host_for_plays_has_plays_alone_and_the_main_host_none_of_its_addresses(
    radio: Player, episode: Episode, settings: Settings
) -> None:
    settings.PLAY_DOMAIN = "play.balados.example"
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, settings.PLAY_DOMAIN]
    address = radio.address(episode).removeprefix("/play")
    for host in ("play.balados.example", "PLAY.balados.example:8000"):
        answer = radio.client.get(address, headers={"host": host})
        assert (answer.status_code, answer.headers.get("Location")) == (302, episode.enclosure_url), host
        for path in (
            "/",
            "/users/log_in",
            "/admin/",
            "/api/v1/me",
            "/static/balados.css",
            "/metrics",
            "/health/live",
            f"/rss/{radio.token}/subscriptions",
            f"/{radio.token}",
        ):
            answer = radio.client.get(path, headers={"host": host})
            assert (answer.status_code, answer.content) == (404, b"Not found.\n"), path
    assert radio.client.get(address).status_code == 404
    assert radio.client.get(radio.address(episode)).status_code == 302
    assert radio.client.get(radio.address(episode), headers={"host": "evil.example"}).status_code == 400


def queued() -> int:
    with redis.Redis.from_url(configuration.REDIS_URL) as client:
        return int(client.llen("plays"))


def work_off() -> None:
    """Process the tasks in the queue, as a worker does."""
    with redis.Redis.from_url(configuration.REDIS_URL) as client:
        while message := client.rpop("plays"):
            assert isinstance(message, bytes)
            arguments, _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
            record_play.run(*arguments)


def broken(*_: Any, **__: Any) -> Any:
    raise OperationalError("the store is away")


def test_while_the_event_store_is_away_listening_goes_on_and_the_play_comes_later(
    radio: Player, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = EpisodeFactory.create_batch(2)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "dispatch", broken)
        assert radio.play(first).status_code == 302
        assert radio.play(second).status_code == 302
    assert count_events() == 0
    assert queued() == 2
    work_off()
    assert len(plays_of(alice.pk)) == 2
    assert PlayToken.objects.get(pk=radio.row.pk).plays == 2


def test_a_slow_event_store_is_not_waited_for_and_the_play_is_recorded_once(
    radio: Player, alice: User, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, done = threading.Event(), threading.Event()
    real = dispatch

    def slow(*arguments: Any, **named: Any) -> Any:
        go.wait(60)
        try:
            return real(*arguments, **named)
        finally:
            done.set()

    with monkeypatch.context() as patch:
        patch.setattr(recording, "dispatch", slow)
        assert radio.play(episode).status_code == 302
        assert queued() == 1
        go.set()
        assert done.wait(60)
    work_off()
    assert count_events("PlayRecorded") == 1


def test_without_Redis_a_play_is_recorded_where_none_is_recent(
    radio: Player, alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = EpisodeFactory.create_batch(2)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for episode in (first, first, second, first):
        assert radio.play(episode).status_code == 302
    assert count_events("PlayRecorded") == 2
    radio.play(first, range="bytes=100-")
    assert count_events("PlayRecorded") == 2


def test_without_Redis_and_event_store_listening_goes_on_all_the_same(
    radio: Player, episode: Episode, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(recording, "dispatch", broken)
    monkeypatch.setattr("playgateway.tasks.record_play.apply_async", broken)
    assert radio.play(episode).status_code == 302
    assert count_events() == 0


def test_where_nobody_can_say_who_asks_it_is_503(
    radio: Player, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playgateway.tokens.run", broken)
    monkeypatch.setattr("playgateway.episodes.raw_connection", broken)
    for answer in (radio.play(episode), radio.feed("subscriptions")):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_a_play_of_a_revoked_token_that_waited_is_dropped(
    radio: Player, alice: User, episode: Episode
) -> None:
    bearer = Bearer(radio.row.pk, alice.pk, "Kitchen radio", None)
    play: Play = recording.new_play(bearer, name_of(episode.feed), item_name(episode), now())
    tasks.record_later(play)
    radio.row.delete()
    work_off()
    assert count_events() == 0


def test_what_waits_in_redis_names_no_listener(
    radio: Player, alice: User, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "dispatch", broken)
    radio.play(episode)
    with redis.Redis.from_url(configuration.REDIS_URL) as client:
        assert queued() == 1
        stored = b"".join(client.lrange("plays", 0, -1)) + b"".join(client.scan_iter("*"))
    for secret in (str(alice.pk), alice.pk.hex, radio.token, "alice"):
        assert secret.encode() not in stored


def test_many_at_once_are_recorded_or_queued(radio: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all threads are busy, a play is queued and no request waits for a thread."""
    taken = [promptly._room.acquire(blocking=False) for _ in range(promptly.MOST_AT_ONCE)]
    assert all(taken)
    try:
        assert radio.play(EpisodeFactory.create()).status_code == 302
        assert queued() == 1
    finally:
        for _ in taken:
            promptly._room.release()
