"""The peer of the pages and of podcast apps: oPodSync, a small sync server in PHP, where there is one.

``OPODSYNC`` names the directory ``server`` of its source, ``PHP`` the program, if that is not ``php``.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.instance import PATIENCE, free_port

PROGRAM = shutil.which(os.environ.get("PHP") or "php")
SOURCE = os.environ.get("OPODSYNC", "")
MISSING = (
    "No peer beside them: oPodSync needs PHP with SQLite (`PHP`, the program) and its source (`OPODSYNC`, the"
    " directory `server`)."
)
NAME, PASSWORD = "alice", "correct horse battery"
HASH = "echo password_hash($argv[1], PASSWORD_DEFAULT);"


class Running(NamedTuple):
    """Its address, the cookie of its listener, and its main process."""

    address: str
    cookie: str
    pid: int


def is_here() -> bool:
    """Whether it can be run."""
    return PROGRAM is not None and (Path(SOURCE) / "subscriptions.php").is_file()


@contextmanager
def running(feeds: int, plays: int, workers: int = 2) -> Iterator[Running]:
    """A server whose listener follows so many feeds and has so many plays.

    ``workers``: as many as ours has, by default; of several its writers find the database locked.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="balados-opodsync-") as data:
        sessions = ["-d", f"session.save_path={data}"]
        command = [str(PROGRAM), *sessions, "-S", f"127.0.0.1:{port}", "-t", SOURCE, f"{SOURCE}/index.php"]
        environment = {**os.environ, "DATA_ROOT": data}
        if workers > 1:
            environment["PHP_CLI_SERVER_WORKERS"] = str(workers)
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # its workers outlive it otherwise
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address)
            _fill(Path(data) / "data.sqlite", feeds, plays)
            yield Running(address, _cookie(address), process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait_for(address: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(urllib.error.URLError):
            urllib.request.urlopen(address, timeout=PATIENCE).close()
            return
        time.sleep(0.05)
    raise RuntimeError("oPodSync does not answer")


def _fill(file: Path, feeds: int, plays: int) -> None:
    digest = subprocess.run(
        [str(PROGRAM), "-r", HASH, PASSWORD], capture_output=True, text=True, check=True
    ).stdout
    now = int(time.time())
    with sqlite3.connect(file) as database:
        database.execute("INSERT INTO users (id, name, password) VALUES (1, ?, ?)", (NAME, digest))
        database.executemany(
            "INSERT INTO feeds (id, feed_url, title, last_fetch) VALUES (?, ?, ?, ?)",
            [
                (number, f"https://shows.example/{number}.xml", f"Show {number}", now)
                for number in range(1, feeds + 1)
            ],
        )
        database.executemany(
            "INSERT INTO subscriptions (id, user, feed, url, changed) VALUES (?, 1, ?, ?, ?)",
            [(number, number, f"https://shows.example/{number}.xml", now) for number in range(1, feeds + 1)],
        )
        database.executemany(
            "INSERT INTO episodes_actions (user, subscription, url, changed, action, data)"
            " VALUES (1, ?, ?, ?, 'play', '{\"position\": 600}')",
            [(1 + number % feeds, f"https://audio.example/{number}.mp3", now) for number in range(plays)],
        )
    database.close()


def _cookie(address: str) -> str:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: object) -> None:
            return None

    sent = urllib.parse.urlencode({"login": NAME, "password": PASSWORD}).encode()
    try:
        answer = urllib.request.build_opener(Stay).open(f"{address}/login.php", sent, timeout=PATIENCE)
        headers = answer.headers
    except urllib.error.HTTPError as redirect:
        headers = redirect.headers
    cookies: list[str] = [header.partition(";")[0] for header in headers.get_all("Set-Cookie") or []]
    if not cookies:
        raise RuntimeError("oPodSync does not let its listener in")
    return str(cookies[-1])
