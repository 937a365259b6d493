"""oPodSync, a small sync server in PHP: the peer for requests, pages and podcast apps, where it is installed.

``PEER_OPODSYNC`` names a checkout of it (github.com/kd2org/opodsync), and ``PHP`` the program if that is not
``php``. None of its code is kept here.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.instance import PATIENCE, free_port

VERSION = "0.5.3"
PROGRAM = shutil.which(os.environ.get("PHP") or "php")
CHECKOUT = Path(os.environ.get("PEER_OPODSYNC") or "/nowhere")
SOURCE = CHECKOUT / "server" if (CHECKOUT / "server").is_dir() else CHECKOUT
NAME, PASSWORD = "alice", "correct horse battery"
HASH = "echo password_hash($argv[1], PASSWORD_DEFAULT);"
VERSIONS = "echo 'PHP ', PHP_VERSION, ', SQLite ', SQLite3::version()['versionString'];"
DESCRIPTION = "What happened this week, and what did not."


class Running(NamedTuple):
    """A running oPodSync: its address, the cookies of its listeners, and its main process."""

    address: str
    cookies: list[str]
    pid: int

    @property
    def cookie(self) -> str:
        """The first listener's cookie."""
        return self.cookies[0]


def missing() -> str | None:
    """Return a note on what is needed but missing here; None if oPodSync can be run."""
    wanted = []
    if PROGRAM is None:
        wanted.append("PHP with SQLite (`apt-get install php-cli php-sqlite3`; `PHP` names another program)")
    if not (SOURCE / "subscriptions.php").is_file():
        wanted.append(f"a checkout of oPodSync {VERSION} (`PEER_OPODSYNC=<directory>`)")
    return f"Measured without the peer, for want of {' and '.join(wanted)}." if wanted else None


def versions() -> str:
    """Return the versions of the PHP and SQLite that it runs on."""
    return subprocess.run([str(PROGRAM), "-r", VERSIONS], capture_output=True, text=True, check=True).stdout


@contextmanager
def running(
    feeds: int, plays: int, workers: int = 2, listeners: Sequence[str] = (NAME,), known: int = 0
) -> Iterator[Running]:
    """Run a server whose listeners follow ``feeds`` feeds each and have ``plays`` plays.

    ``known`` is the number of feeds in the database, if more. ``workers`` is by default as many as ours has.
    It runs with its own settings: every request writes to its database (``PRAGMA user_version``), so of
    simultaneous requests all but one are answered with 500, "database is locked", unless they belong to one
    session, whose requests PHP handles one by one.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="balados-opodsync-") as data:
        sessions = ["-d", f"session.save_path={data}"]
        served = ["-S", f"127.0.0.1:{port}", "-t", str(SOURCE), f"{SOURCE}/index.php"]
        command = [str(PROGRAM), *sessions, *served]
        environment = {**os.environ, "DATA_ROOT": data}
        if workers > 1:
            environment["PHP_CLI_SERVER_WORKERS"] = str(workers)
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # otherwise its workers outlive it
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address)
            _fill(Path(data) / "data.sqlite", feeds, plays, listeners, max(feeds, known))
            yield Running(address, [_cookie(address, name) for name in listeners], process.pid)
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


def _fill(file: Path, feeds: int, plays: int, listeners: Sequence[str], known: int) -> None:
    digest = subprocess.run(
        [str(PROGRAM), "-r", HASH, PASSWORD], capture_output=True, text=True, check=True
    ).stdout
    now, shows = int(time.time()), range(1, feeds + 1)
    with sqlite3.connect(file, timeout=PATIENCE) as database:
        database.executemany(
            "INSERT INTO feeds (id, feed_url, title, url, image_url, description, last_fetch)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(show, _url(show), f"Show {show}", *_described(show), now) for show in range(1, known + 1)],
        )
        for user, name in enumerate(listeners, 1):
            database.execute("INSERT INTO users (id, name, password) VALUES (?, ?, ?)", (user, name, digest))
            database.executemany(
                "INSERT INTO subscriptions (user, feed, url, changed) VALUES (?, ?, ?, ?)",
                [(user, show, _url(show), now) for show in shows],
            )
            database.executemany(
                "INSERT INTO episodes_actions (user, subscription, url, changed, action, data)"
                " SELECT user, id, ?, changed, 'play', '{\"position\": 600}' FROM subscriptions"
                " WHERE user = ? AND feed = ?",
                [
                    (f"https://audio.example/{number}.mp3", user, 1 + number % feeds)
                    for number in range(plays)
                ],
            )
    database.close()


def _url(show: int) -> str:
    return f"https://shows.example/{show}.xml"


def _described(show: int) -> tuple[str, str, str]:
    """Return the site, the cover and the description of a show."""
    return f"https://shows.example/{show}", f"https://shows.example/{show}.jpg", DESCRIPTION


def _cookie(address: str, name: str) -> str:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: object) -> None:
            return None

    sent = urllib.parse.urlencode({"login": name, "password": PASSWORD}).encode()
    try:
        answer = urllib.request.build_opener(Stay).open(f"{address}/login.php", sent, timeout=PATIENCE)
        headers = answer.headers
    except urllib.error.HTTPError as redirect:
        headers = redirect.headers
    cookies: list[str] = [header.partition(";")[0] for header in headers.get_all("Set-Cookie") or []]
    if not cookies:
        raise RuntimeError("oPodSync does not let its listener in")
    return str(cookies[-1])
