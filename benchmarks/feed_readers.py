"""One reader over one feed, in a process of its own: ``feed_readers READER FILE ROUNDS``.

It prints the processor time of each round in seconds, and by how many bytes the first round made the process
grow. The garbage collector keeps Python's default settings.
"""

import json
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

Read = Callable[[bytes], object]


def ours() -> Read:
    from feeds.read import read

    def keep_nothing(episode: object) -> None:
        pass

    return lambda body: read(
        body, content_type="application/rss+xml", url="https://a.example/", begin=lambda: keep_nothing
    )


def tree() -> Read:
    from lxml import etree

    return etree.fromstring


def podcastparser() -> Read:
    import podcastparser

    return lambda body: podcastparser.parse("https://a.example/", BytesIO(body))


def feedparser() -> Read:
    import feedparser

    return lambda body: feedparser.parse(BytesIO(body))


def feedparser_bare() -> Read:
    import feedparser

    return lambda body: feedparser.parse(BytesIO(body), sanitize_html=False, resolve_relative_uris=False)


READERS: dict[str, Callable[[], Read]] = {
    "ours": ours,
    "libxml2, the tree alone": tree,
    "podcastparser": podcastparser,
    "feedparser without sanitising": feedparser_bare,
    "feedparser": feedparser,
}


def peak() -> int:
    """Return the peak memory of this process in bytes (``ru_maxrss`` would begin with the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def measure(read: Read, body: bytes, rounds: int) -> tuple[list[float], int]:
    seconds, before, grown = [], peak(), 0
    for number in range(rounds):
        started = time.process_time()
        read(body)
        seconds.append(time.process_time() - started)
        if number == 0:
            grown = peak() - before
    return seconds, grown


if __name__ == "__main__":
    name, path, rounds = sys.argv[1:]
    reader = READERS[name]()
    reader(b"<rss><channel/></rss>")  # so that loading at the first use is not measured
    print(json.dumps(measure(reader, Path(path).read_bytes(), int(rounds))))
