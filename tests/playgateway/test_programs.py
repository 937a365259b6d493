"""Real players play an episode through the gateway from a file on loopback, and each records one play."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import feedparser
import podcastparser
import pytest
import requests
from playwright.sync_api import sync_playwright

from accounts.models import User
from feeds.models import Episode
from tests.api.devices import count_events
from tests.e2e.instances import free_port
from tests.feeds.rows import EpisodeFactory
from tests.playgateway.players import Player, follow
from tests.projections.running import eventually
from tests.web.conftest import CHROMIUM, QUIET

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20


def audio() -> bytes:
    """A silent audio file, in a format that every player supports."""
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(2 * 8_000 * SECONDS))
    return file.getvalue()


FILE = audio()


class Origin(BaseHTTPRequestHandler):
    """A publisher's server: the audio file, with range requests, and a web page with a player."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/page"):
            return self._send(200, b"<!doctype html><title>x</title>", {"Content-Type": "text/html"})
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self._send(200, FILE, {"Content-Type": "audio/wav", "Accept-Ranges": "bytes"})
        start, end = int(asked[1]), min(int(asked[2] or len(FILE) - 1), len(FILE) - 1)
        more = {"Content-Type": "audio/wav", "Content-Range": f"bytes {start}-{end}/{len(FILE)}"}
        return self._send(206, FILE[start : end + 1], more)

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        return  # players disconnect when they have enough


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    server = Quiet(("127.0.0.1", 0), Origin)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def web() -> Iterator[str]:
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "FEED_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    server = subprocess.Popen([sys.executable, "-m", "balados.serve"], cwd=ROOT, env=environment)
    address, deadline = f"http://localhost:{port}", time.monotonic() + 60
    try:
        while server.poll() is None:
            try:
                with urlopen(f"{address}/health/live", timeout=5):
                    break
            except (URLError, OSError):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    with web() as address:
        yield address


class Listening:
    """An episode, and its address in the personal feed of a new player."""

    def __init__(self, user: User, server: str, origin: str) -> None:
        self.episode: Episode = EpisodeFactory.create(
            enclosure_url=f"{origin}/{os.urandom(4).hex()}.wav",
            enclosure_type="audio/wav",
            enclosure_length=len(FILE),
        )
        follow(user, self.episode.feed)
        self.feed = f"{server}/rss/{Player(user).token}/subscriptions.xml"
        self.before = count_events("PlayRecorded")
        (entry,) = feedparser.parse(requests.get(self.feed, timeout=20).content).entries
        self.address = server + "/play/" + entry.enclosures[0].href.split("/play/")[1]

    def is_one_play(self) -> None:
        eventually(lambda: count_events("PlayRecorded") == self.before + 1)
        with suppress(AssertionError):  # a second play would be recorded within this time
            eventually(lambda: count_events("PlayRecorded") > self.before + 1, 0.2)
        assert count_events("PlayRecorded") == self.before + 1


@pytest.fixture
def listening(alice: User, server: str, origin: str) -> Listening:
    return Listening(alice, server, origin)


def run(*command: str) -> "subprocess.CompletedProcess[bytes]":
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not here")


@needs("curl")
def test_curl_with_ranges(listening: Listening) -> None:
    fetch = ("curl", "--silent", "--fail", "--location", listening.address)
    run("curl", "--silent", "--fail", "--location", "--head", listening.address)
    assert run(*fetch, "--range", "0-1").stdout == FILE[:2]
    assert run(*fetch, "--range", "1000-1999").stdout == FILE[1000:2000]
    assert run(*fetch).stdout == FILE
    listening.is_one_play()


@needs("ffprobe")
def test_ffprobe(listening: Listening) -> None:
    shown = run("ffprobe", "-v", "error", "-show_entries", "format=duration", listening.address)
    assert f"duration={SECONDS}." in shown.stdout.decode()
    listening.is_one_play()


@needs("mpv")
def test_mpv_that_seeks(listening: Listening) -> None:
    quiet = ("--no-config", "--no-video", "--ao=null", "--untimed", "--cache=no")
    run("mpv", *quiet, "--length=2", listening.address)
    run("mpv", *quiet, "--start=15", "--length=2", listening.address)
    listening.is_one_play()


def test_gpodders_downloader(listening: Listening) -> None:
    """Read the feed, fetch the file as gPodder does, and resume an interrupted download."""
    with requests.Session() as session:
        session.headers["User-Agent"] = "gPodder/3.11.4 (+http://gpodder.org/) Linux"
        feed = session.get(listening.feed, stream=True, timeout=20)
        parsed = podcastparser.parse(listening.feed, BytesIO(feed.content))
        (episode,) = parsed["episodes"]
        assert episode["enclosures"][0]["file_size"] == len(FILE)
        answer = session.get(listening.address, stream=True, timeout=20)
        assert answer.raw.read(1_000) == FILE[:1_000]
        answer.close()
        rest = session.get(listening.address, headers={"Range": "bytes=1000-"}, timeout=20)
        assert (rest.status_code, rest.content) == (206, FILE[1_000:])
        again = session.get(listening.feed, headers={"If-None-Match": feed.headers["ETag"]}, timeout=20)
        assert again.status_code == 304
    listening.is_one_play()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here")
def test_the_audio_element_of_chromium(listening: Listening, origin: str) -> None:
    script = """address => new Promise((done, fail) => {
        const audio = new Audio(address);
        audio.muted = true;
        audio.addEventListener('error', () => fail(audio.error.message));
        audio.addEventListener('ended', () => done(audio.duration));
        audio.addEventListener('playing', () => { audio.currentTime = audio.duration - 0.5; }, {once: true});
        audio.play().catch(fail);
    })"""
    arguments = [*QUIET, "--autoplay-policy=no-user-gesture-required", "--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page()
        page.goto(f"{origin}/page")
        assert page.evaluate(script, listening.address) == SECONDS
        browser.close()
    listening.is_one_play()
